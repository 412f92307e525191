"""Synthetic requests that measure what a user would feel."""
