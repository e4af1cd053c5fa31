"""The model registry: who is in Production, how that changes, and the record of every change."""
