"""Collectors: a file or a package per source; a package's `look` looks once and says what it saw."""
