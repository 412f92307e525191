"""Collectors: one file per source, each a function that looks once and says what it saw."""
