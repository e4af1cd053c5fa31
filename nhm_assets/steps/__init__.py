"""What every asset and check step has in common."""
