"""Files that become baselines: our own, and other tools' results."""
