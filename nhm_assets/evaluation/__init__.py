"""A candidate is measured on the newest rows, beside the champion, and judged."""
