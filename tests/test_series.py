"""Series of a real server that was harmed: backtest finds true slowdowns, and nothing else."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "bench"))

from recorded import Fault, told

SHORT, LONG = "vllm-0.32-cpu", "vllm-0.32-cpu-longer"
FOUND = {
    (SHORT, "worker paused 10 ms in every 50 ms"): "informs",
    (SHORT, "worker paused 20 ms in every 60 ms"): "pages",
    (SHORT, "a process per CPU computes for nothing"): "nothing",
    (LONG, "worker paused 10 ms in every 50 ms"): "pages",
    (LONG, "worker paused 20 ms in every 60 ms"): "informs",
    (LONG, "four processes per CPU compute for nothing"): "informs",
}
"""What is told of each fault: baselines of 40 and 45 minutes page for +36 % after 9 minutes, and for less never."""


def said(fault: Fault) -> str:
    """Say what was told of a fault."""
    return "pages" if fault.pages else "informs" if fault.found else "nothing"


def test_recorded() -> None:
    """Of what was done to the server slowdowns that its baseline can see are told, and users' load is not."""
    series = [*told(1.0)]

    assert {(one.name, fault.name): said(fault) for one in series for fault in one.faults} == FOUND
    assert [((), ())] * len(series) == [(one.false, one.info) for one in series]


def test_since() -> None:
    """What is found says since when the server was slower, to half a minute; what pages does so within six minutes."""
    faults = [fault for series in told(1.0) for fault in series.faults]

    assert all(abs(one.onset_at - fault.began) < 30 for fault in faults for one in fault.found)
    assert all(one.opened_at - fault.began < 360 for fault in faults for one in fault.pages)
