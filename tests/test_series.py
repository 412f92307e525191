"""Series of a real server that was harmed: backtest pages for a true slowdown, and for nothing else."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "bench"))

from recorded import told

BELOW = {"worker paused 10 ms in every 50 ms", "a process per CPU computes for nothing"}
"""Faults that made the median canary 4 and 31 % slower; the baseline of 40 minutes pages for +37 % after 9 minutes."""


def test_recorded() -> None:
    """Of what was done to the server the slowdown that the baseline can see is paged once, and users' load is not."""
    [series] = told(1.0)

    onsets = [one.onset_at for one in series.info]

    assert () == series.false
    assert [True] * len(onsets) == [any(one.began - 10 < at < one.ended for one in series.faults) for at in onsets]
    assert {fault.name: len(fault.pages) for fault in series.faults if fault.name not in BELOW} == {
        "worker paused 20 ms in every 60 ms": 1
    }


def test_since() -> None:
    """The page says since when the server was slower, give or take a few probes, and comes within five minutes."""
    [page] = [page for series in told(1.0) for fault in series.faults for page in fault.pages]
    [began] = [fault.began for series in told(1.0) for fault in series.faults if fault.pages]

    assert abs(page.onset_at - began) < 10
    assert page.opened_at - began < 300
