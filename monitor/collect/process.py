"""Which processes on this node are vLLM servers, by what their command lines say; any user may read those."""

import re
from collections.abc import Iterator
from pathlib import Path

# The API server keeps its command line; engines and workers call themselves VLLM::..., set from 0.10.1 on.
_SERVER = re.compile(r"^VLLM::|(?:^|[/ ])vllm serve\b|\bvllm\.entrypoints\.")


def servers(procfs: Path) -> Iterator[int]:
    """Give the process ids of vLLM servers, engines and workers; a /proc that cannot be read shows none."""
    try:
        entries = [path for path in procfs.iterdir() if path.name.isdigit()]
    except OSError:
        return
    for path in entries:
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if _SERVER.search(line):
            yield int(path.name)
