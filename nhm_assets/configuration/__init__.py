"""Which environment variables there are, and what their values must be."""
