"""What the monitor serves over HTTP; read-only."""
