"""Baseline x live probes -> regression findings. Pure: no clock, no I/O."""
