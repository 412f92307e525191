"""Files that are read: baselines, which are our own or other tools' results, and recorded series."""
