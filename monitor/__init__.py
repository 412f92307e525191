"""Notices when a vLLM server gets slower than the day its baseline was captured."""
