"""No panel says "No data": a real Prometheus is asked every query, and evaluates every rule.

MONITOR_TEST_PROMETHEUS_URL names another Prometheus to ask, one that has scraped a monitor for some minutes.
"""

import os
import time
from collections import deque
from collections.abc import Iterator

import pytest
from boards import asked
from scraped import Scraped, scraped
from tools import program

pytestmark = pytest.mark.alone

PATIENCE = 240.0
"""Seconds; a fifth of them is enough on a machine that is not busy."""
PAUSE = 0.5
"""Seconds between two rounds of questions: what is asked for must have the machine, too."""
NOTHING = {
    "vllm / Held back by a CPU limit A": "no vLLM process runs on this node",
    "vllm / Swapped out A": "no vLLM process runs on this node",
}
"""Queries that need not find anything, and why."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    url = os.environ.get("MONITOR_TEST_PROMETHEUS_URL")
    if url:
        yield Scraped(url)
    else:
        prometheus = program("prometheus", "prometheus")
        with scraped(tmp_path_factory.mktemp("scraped"), prometheus) as started:
            yield started


def test_every_query_finds_something(live: Scraped) -> None:
    """While a server is well, gets slow, is found slow and gets users, each query finds a series at some time."""
    acts = deque(
        [
            ('vllm_monitor_baseline_ratio{metric="tpot",profile="short"}', live.harm),
            ('vllm_monitor_incident_active and on (target) vllm_monitor_finding_active{kind="regression"}', live.use),
        ]
        if live.ours
        else []
    )
    left = {str(one): one.expr for one in asked(foreign=not live.ours) if str(one) not in NOTHING}
    until = time.monotonic() + PATIENCE
    while left and time.monotonic() < until:
        left = {name: expr for name, expr in left.items() if not live.found(expr)}
        time.sleep(PAUSE)
        if acts and live.found(acts[0][0]):
            acts.popleft()[1]()

    assert [] == sorted(left)


def test_rules_are_evaluated(live: Scraped) -> None:
    """Prometheus evaluates each of our rules without an error."""
    groups = live.ask("rules")["groups"]

    assert {"ok"} == {rule["health"] for group in groups for rule in group["rules"]}
