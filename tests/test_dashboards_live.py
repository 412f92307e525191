"""No panel says "No data": a real Prometheus is asked every query, and evaluates every rule.

MONITOR_TEST_PROMETHEUS_URL names another Prometheus to ask, one that has scraped a monitor for some minutes.
"""

import os
from collections.abc import Iterator

import pytest
from scraped import Scraped, scraped
from tools import program

pytestmark = pytest.mark.alone

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
    assert [] == live.unanswered(NOTHING)


def test_rules_are_evaluated(live: Scraped) -> None:
    """Prometheus evaluates each of our rules without an error."""
    groups = live.ask("rules")["groups"]

    assert {"ok"} == {rule["health"] for group in groups for rule in group["rules"]}
