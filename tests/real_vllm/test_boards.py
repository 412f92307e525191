"""No panel of the dashboards says "No data" where a real vLLM is watched: slowed, found slow, then used.

Its hardware is replayed, as this machine has none; MONITOR_TEST_VLLM_URL is asked, and its worker must run here.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scraped import scraped
from tools import program
from vllm_processes import worker

pytestmark = pytest.mark.real_vllm

NOTHING = {
    "vllm / Held back by a CPU limit A": "the host is replayed, and vLLM is no process of it",
    "vllm / Swapped out A": "the host is replayed, and vLLM is no process of it",
}
"""Queries that need not find anything, and why."""


@contextmanager
def slow() -> Iterator[None]:
    """Pause the process that computes for 25 ms in every 40 ms."""
    pid, over = worker(), threading.Event()

    def pause() -> None:
        while not over.wait(0.015):
            os.kill(pid, signal.SIGSTOP)
            over.wait(0.025)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=pause)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_every_query_finds_something(tmp_path: Path) -> None:
    """Each query of each dashboard finds a series at some time, except what needs vLLM's own process."""
    real = os.environ["MONITOR_TEST_VLLM_URL"], slow
    with scraped(tmp_path, program("prometheus", "prometheus"), real) as live:
        assert [] == live.unanswered(NOTHING)
