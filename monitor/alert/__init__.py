"""Sinks: one file per way to tell somebody that a finding opened or closed."""
