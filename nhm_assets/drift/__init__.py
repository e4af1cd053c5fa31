"""Whether the world has moved away from what a version learned: pure functions on numbers."""
