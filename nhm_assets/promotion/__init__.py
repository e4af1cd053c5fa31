"""A candidate that passed the gate becomes the version in Production."""
