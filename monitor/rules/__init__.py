"""Tuning rules: the data, one file per profile, and how it is read."""
