"""The node: settings and counters of its kernel."""
