"""Plain values that several test files build on; each function gives a good one and takes what should differ."""

from dataclasses import replace
from typing import Any

from monitor import catalog
from monitor.model import Baseline, Context, Fact, Finding, Flip, Load, OpenFinding, Probe, Series

AT = 1_800_000_000.0
ENDPOINT = "http://vllm:8000"


def probe(**changes: Any) -> Probe:
    """Give a probe that went well."""
    good = Probe(
        at=AT,
        profile="short",
        version="1",
        outcome="ok",
        connect=0.001,
        ttft=0.05,
        tpot=0.01,
        e2e=0.2,
        itls=(0.01, 0.012, 0.009),
        prompt_tokens=14,
        output_tokens=16,
        before=Load(0.0, 0.0, 0.25),
        after=Load(1.0, 0.0),
        lag=0.0005,
        answer="5f1d",
        model="tiny",
    )
    return replace(good, **changes)


def failed_probe(**changes: Any) -> Probe:
    """Give a probe that nobody answered."""
    failed = Probe(AT, "short", "1", "unreachable", detail="connection refused")
    return replace(failed, **changes)


def baseline(name: str = "good-day", endpoint: str = ENDPOINT, **changes: Any) -> Baseline:
    """Give a baseline of three probes."""
    times = (AT, AT + 60, AT + 120)
    made = Baseline(
        name,
        Context("tiny", endpoint),
        AT + 180,
        (
            Series("tpot", "short@1 load 0", times, (0.01, 0.011, 0.0105)),
            Series("ttft", "short@1 load 0", times, (0.05, 0.051, 0.1 + 0.2)),
            Series("ttft", "short@1 load 1-2", times[:1], (0.06,)),
        ),
        (
            Fact(catalog.VERSION, "0.32.0", "/version"),
            Fact(catalog.MIGRATION_COST_FACT, None, "/sys/kernel/debug", "permission denied"),
        ),
    )
    return replace(made, **changes)


def finding(key: str = "regression:llama:short:ttft", **changes: Any) -> Finding:
    """Give a finding that a slow server makes."""
    slow = Finding(
        key=key,
        kind="regression",
        severity="warning",
        subject="short ttft",
        group="regression:llama",
        summary="llama: canary TTFT 50 → 75 ms (+50%) against baseline 'good-day', profile short",
        remedy="compare what changed since then",
        hold=180.0,
        onset=AT - 300,
        observed="0.075",
        expected="0.05",
        evidence={"change_ratio": 0.5, "probes": 10.0, "unit": "seconds"},
    )
    return replace(slow, **changes)


def opened(found: Finding | None = None, at: float = AT) -> Flip:
    """Give the flip that opens a finding."""
    return Flip(found or finding(), opened=True, since=at - 300, at=at, tell=True)


def closed(found: Finding | None = None, at: float = AT + 600) -> Flip:
    """Give the flip that closes a finding."""
    return Flip(found or finding(), opened=False, since=AT - 300, at=at, tell=True)


def open_finding(found: Finding | None = None) -> OpenFinding:
    """Give what the ledger holds of an open finding."""
    return OpenFinding(found or finding(), since=AT - 300, opened_at=AT)
