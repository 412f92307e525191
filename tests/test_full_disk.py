"""A disk that is full when a baseline is captured: one line says so, and what was stored before is not lost."""

import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from examples import baseline, probe
from processes import MONITOR, environment
from serving import simulated

from monitor.model import Load
from monitor.store.store import Store

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs a command that can make no file larger than so many bytes: the nearest to a full disk without mounting one."""
BARELY = 40_000
"""Bytes that suffice for opening the store and for one small transaction, but neither for many nor for a baseline."""
IDLE = Load(0.0, 0.0)


async def capture(folder: Path, url: str, *options: str, most: int) -> subprocess.CompletedProcess[bytes]:
    """Run `monitor baseline capture` under a limit."""
    env = {"MONITOR_STORE__URL": f"sqlite:///{folder}/m.db", "MONITOR_TARGET__TINY__URL": url}
    command = [str(MONITOR), "baseline", "capture", "next", *options]
    limited = [sys.executable, "-c", LIMITED, str(most), *command]
    return await anyio.run_process(limited, check=False, env={**environment(), **env})


@pytest.mark.parametrize("options", ["--requests 20 --rate 100", "--last 1h"])
async def test_full_disk(options: str, tmp_path: Path) -> None:
    """Whether it fills while canaries are sent or when the baseline is kept, the command says so and keeps nothing."""
    store = Store(f"sqlite:///{tmp_path}/m.db")
    store.baselines.save(baseline())
    now = time.time()
    store.history.remember("tiny", [probe(at=now - ago, before=IDLE, after=IDLE) for ago in range(500)], ())
    store.close()

    async with simulated() as server:
        full = await capture(tmp_path, server.url, *options.split(), most=BARELY)
        store = Store(f"sqlite:///{tmp_path}/m.db")
        kept = store.baselines.get("good-day"), len(store.history.probes("tiny", 0.0)), len(store.baselines.all())
        store.close()
        roomy = await capture(tmp_path, server.url, *options.split(), most=2**30)

    said = "disk I/O error; see whether the disk is full or broken, or set another [store] url"
    assert (2, b"", f"monitor: store sqlite:///{tmp_path}/m.db: {said}\n") == (
        full.returncode,
        full.stdout,
        full.stderr.decode(),
    )
    assert (baseline(), 500, 1) == kept
    assert 0 == roomy.returncode
