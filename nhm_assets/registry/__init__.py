"""The model registry: which version is in Production, how that changes, and the audit log of the changes."""
