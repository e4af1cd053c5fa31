"""Speed and memory of the main path, as docs/performance.md quotes them."""
