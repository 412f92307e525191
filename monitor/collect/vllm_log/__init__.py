"""vLLM's log."""
