"""A process that answers as a vLLM 0.32 once did, and as the MLNode beside it: what is looked at when beats are timed.

Run as `vllm serve`, by a link of that name, so that it is found as a server is. It tells where it listens.
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from routes import GOOD, answer, listening

EXPOSITION = Path(__file__).resolve().parents[1] / "captures" / "vllm" / "v0.32.0-live.txt"


async def main() -> None:
    """Answer until the end."""
    metrics, healthy = answer(EXPOSITION.read_bytes()), answer(b"")
    state = answer(b'{"state": "INFERENCE"}', kind="application/json")
    async with listening({**GOOD, "/metrics": metrics, "/health": healthy, "/api/v1/state": state}) as where:
        sys.stdout.write(f"{where}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
