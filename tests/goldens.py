"""Comparing with goldens: `make goldens` rewrites them, and the diff is the review."""

import os
from pathlib import Path


def compare(path: Path, actual: str) -> None:
    """Assert that a golden holds exactly this text, or rewrite it when MONITOR_TEST_GOLDENS is set."""
    if os.environ.get("MONITOR_TEST_GOLDENS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(actual, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == actual
