"""Series recorded from a real vLLM, judged as `monitor` would: rows of CSV, with the columns of `monitor backtest`.

The baseline is what comes before the event "baseline ends", else the first half. An event that begins with "fault"
begins a true slowdown, the next event of any other name ends it.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from monitor.detect.arm import Arm, fed
from monitor.detect.ruler import Policy, ruler
from monitor.detect.strata import LATENCIES, series
from monitor.model import Baseline, Context, Load, Probe

FILES = Path(__file__).resolve().parents[1] / "captures" / "series"
BASELINE_ENDS, FAULT = "baseline ends", "fault"
Row = tuple[Probe, str]


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a series: faults and how many paged, false pages, and findings that only inform."""

    name: str
    hours: float
    faults: int
    found: int
    false: int
    info: int


def told(rate: float) -> Iterator[Told]:
    """Judge each recorded series."""
    for path in sorted(FILES.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as lines:
            yield _judged(path.stem, [_row(row) for row in csv.DictReader(lines)], rate)


def _judged(name: str, rows: Sequence[Row], rate: float) -> Told:
    known = next((index for index, (_, event) in enumerate(rows) if event == BASELINE_ENDS), len(rows) // 2)
    live = rows[known:]
    every = median(later.at - earlier.at for (earlier, _), (later, _) in pairwise(live))
    policy = Policy(180.0, max(600.0, 10 * every), every, rate)
    profile = live[0][0].profile
    against = ruler(Baseline(name, Context("", ""), 0.0, series(probe for probe, _ in rows[:known])), policy)
    arms = [Arm(metric, profile) for metric in LATENCIES]
    faults = found = false = info = 0
    faulty, caught = False, False
    for probe, event in live:
        if event:
            faulty, caught = event.startswith(FAULT), False
            faults += faulty
        fresh = [fed(arm, against, probe, policy) for arm in arms]
        for before, after in zip(arms, fresh, strict=True):
            opened = after.found is not None and before.found is None
            if after.found and after.found.pages and not (before.found and before.found.pages):
                found += faulty and not caught
                false += not faulty
                caught = caught or faulty
            elif opened and not faulty:
                info += 1
        arms = fresh
    return Told(name, (live[-1][0].at - live[0][0].at) / 3600, faults, found, false, info)


def _row(row: dict[str, str]) -> Row:
    def figure(name: str) -> float | None:
        return float(row[name]) if row.get(name) else None

    running = figure("requests_running")
    load = None if running is None else Load(running, figure("requests_waiting") or 0.0)
    probe = Probe(
        float(row["at"]), row["profile"], "1", "ok",
        ttft=figure("ttft_seconds"), tpot=figure("tpot_seconds"), e2e=figure("e2e_seconds"), before=load, after=load,
    )  # fmt: skip
    return probe, row.get("event") or ""
