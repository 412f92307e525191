"""A real vLLM's processes on this machine."""

from pathlib import Path


def processes() -> dict[str, int]:
    """Find vLLM's own processes by name."""
    names = {}
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            names[path.read_text().strip()] = int(path.parent.name)
        except OSError:
            continue
    return names


def worker() -> int:
    """Find the process that computes: the worker, or the engine where there is no worker of its own."""
    names = processes()
    return names.get("VLLM::Worker") or names["VLLM::EngineCor"]
