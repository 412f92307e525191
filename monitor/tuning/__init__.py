"""Tuning: what should be, what is, and what changed since the baseline."""
