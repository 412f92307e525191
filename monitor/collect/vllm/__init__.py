"""vLLM over HTTP."""
