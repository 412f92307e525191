"""The formats that are read, and how a file is known to be of one of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from monitor.importers import compressa, guidellm, own, vllm_bench
from monitor.importers.reading import FileError, documents, text
from monitor.model import Baseline

Importer = Callable[[bytes, str, str | None], list[Baseline]]
OWN = "own"
OTHERS: Mapping[str, Importer] = {
    "vllm-bench": vllm_bench.read,
    "guidellm": guidellm.read,
    "compressa": compressa.read,
}
"""Other tools' formats. An importer gets a file, a name for what it makes, and a model that counts before its own."""


def read(data: bytes, kind: str | None, name: str | None, otherwise: str, model: str | None) -> list[Baseline]:
    """Read a file of a format, or of the one that it looks like; raises FileError if it is none.

    Our own files name their baseline; of other tools' it is called `otherwise` where no name is given.
    """
    kind = kind or detect(data)
    if kind != OWN:
        return OTHERS[kind](data, name or otherwise, model)
    found = own.read(text(data))
    context = replace(found.context, model=model or found.context.model)
    return [replace(found, name=name or found.name, context=context)]


def detect(data: bytes) -> str:
    """Tell which format a file looks like; raises FileError if none."""
    if data.startswith(compressa.MAGIC):
        return "compressa"
    first = next(iter(documents(data)), None)
    keys = first.keys() if isinstance(first, dict) else set()
    if "format" in keys:
        return OWN
    if "benchmarks" in keys:
        return "guidellm"
    if keys >= vllm_bench.SIGNS:
        return "vllm-bench"
    raise FileError(f"not a baseline: neither ours nor one of {', '.join(OTHERS)}")
