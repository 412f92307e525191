"""Sophgo's caches of reordered weights: a newer vLLM takes what an older one made, without a word."""

from monitor.collect.fetch import LookError
from monitor.collect.process.tree import AbsentError, Tree
from monitor.collect.redact import shown

CACHE = "/data/.reorder_cache"
"""Where each quantised model has a folder, made when it was first served."""
NONE, FRESH = "none", "fresh"


def age(files: Tree, version: str, folder: str) -> str:
    """Say whose cache is older than the vLLM of this version, of which a folder tells; raises LookError.

    No folder ("") is a vLLM of which nobody can tell when it was installed: an obstacle, where there are caches.
    """
    try:
        models = files.names(CACHE)
    except AbsentError:
        return NONE
    if not models:
        return NONE
    if not folder:
        raise LookError("no vllm is found installed, so that how old it is cannot be told: it may be run from sources")
    installed = files.changed(folder)
    old = [model for model in models if files.changed(f"{CACHE}/{model}") < installed]
    return shown(f"older than vllm {version}: {' '.join(old)}") if old else FRESH
