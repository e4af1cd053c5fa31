"""What all asset and check steps have in common."""
