"""Documents to try the platform with: made up, or loaded from files."""
