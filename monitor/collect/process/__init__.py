"""The serving process, as /proc shows it."""
