"""Reviewers' feedback in MongoDB becomes one dataset a partition."""
