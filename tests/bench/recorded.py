"""Series recorded from a real vLLM, judged by `monitor`'s own backtest: what was found of the faults, and what else.

The baseline is what comes before the event "baseline ends". An event that begins with "fault" begins a true slowdown,
which the next event ends.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path

from monitor import backtest
from monitor.backtest import Episode, Outcome
from monitor.detect import budget
from monitor.detect.ruler import Policy
from monitor.importers import rows
from monitor.importers.rows import Recording
from monitor.model import Context

FILES = Path(__file__).resolve().parents[1] / "captures" / "series"
BASELINE_ENDS, FAULT = "baseline ends", "fault: "
HOLD, STALE, BEAT = 180.0, 600.0, 15.0
"""The defaults of alert.opens_after, of silence that ends judging, and of heartbeat.every, in seconds."""

EARLY = 30.0
"""Seconds by which an onset may be before its fault, and is of it still: fifteen probes."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A stretch of time, in seconds since 1970, in which something was made slower, and what was found of it."""

    name: str
    began: float
    ended: float
    found: tuple[Episode, ...]

    @property
    def pages(self) -> tuple[Episode, ...]:
        """What was paged of it."""
        return tuple(one for one in self.found if one.pages)


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a series: each fault, the pages that are of none, and findings of none that only inform."""

    name: str
    hours: float
    faults: tuple[Fault, ...]
    false: tuple[Episode, ...]
    info: tuple[Episode, ...]


def told(pages: float) -> Iterator[Told]:
    """Judge each recorded series with so many false pages in 30 days to be lived with."""
    for path in sorted(FILES.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as lines:
            yield _compared(path.stem, rows.read(lines), pages)


def _compared(name: str, recording: Recording, pages: float) -> Told:
    spans = [*pairwise((*((each.at, each.text) for each in recording.events), (inf, "")))]
    begins = {(at, text): until for (at, text), (until, _) in spans if text.startswith(FAULT)}
    known = next(event.at for event in recording.events if event.text == BASELINE_ENDS)
    episodes = _judged(name, recording, known, pages).episodes
    faults = tuple(
        Fault(text.removeprefix(FAULT), at, until, tuple(_of(at, until, episodes)))
        for (at, text), until in begins.items()
    )
    others = [one for one in episodes if not any(one in fault.found for fault in faults)]
    return Told(
        name,
        (recording.probes[-1].at - known) / 3600,
        faults,
        tuple(one for one in others if one.pages),
        tuple(one for one in others if not one.pages),
    )


def _of(began: float, ended: float, episodes: Iterable[Episode]) -> Iterator[Episode]:
    return (one for one in episodes if began <= one.opened_at and began - EARLY <= one.onset_at < ended)


def _judged(name: str, recording: Recording, known: float, pages: float) -> Outcome:
    baseline = backtest.first_day(name, Context("", name), recording.probes, known)
    profiles = tuple(dict.fromkeys(probe.profile for probe in recording.probes))
    every = backtest.cadence([probe for probe in recording.probes if probe.at >= known], 0.0)
    policy = Policy(HOLD, STALE, every, budget.rate(pages, budget.arms(1, profiles)))
    return backtest.replay(name, baseline, recording.probes, profiles, policy, BEAT)
