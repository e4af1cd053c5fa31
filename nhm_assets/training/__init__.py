"""A dataset becomes a registered candidate."""
