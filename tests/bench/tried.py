"""Trials of baselines in processes of their own, and what they say together."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf, log
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean
from typing import Any, Self

from peers import HERE, AbsentError, Child
from worlds import WORLDS

STEPS = ("+5%", "+10%", "+20%", "+50%")
SPAWN, RAMP, HEALS = "spawn", "ramp", "heals"
OURS, INFO, IDEAL = "monitor", "info", "clairvoyant"
CHECKED, DIVIDED = 1, 2
"""Baselines whose trials are compared with the product, and those that E-divisive sees too."""
HOLD = 4

Trial = dict[str, Any]


class Trials:
    """Processes that try baselines, as many as there are cores for."""

    def __init__(self, interpreter: Path, jobs: int) -> None:
        self._idle: SimpleQueue[Child] = SimpleQueue()
        self._children = [Child([interpreter, HERE / "trial.py"]) for _ in range(jobs)]
        for child in self._children:
            self._idle.put(child)
        self._threads = ThreadPoolExecutor(jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for child in self._children:
            child.__exit__()

    def tried(self, tasks: Sequence[dict[str, str]]) -> Iterator[Trial]:
        """Do tasks; give what became of them, in their order. Raises AbsentError if one fails."""
        return self._threads.map(self._do, tasks)

    def _do(self, task: dict[str, str]) -> Trial:
        child = self._idle.get()
        try:
            child.tell(**task)
            heard = child.hear()
        finally:
            self._idle.put(child)
        if "error" in heard:
            raise AbsentError(heard["error"])
        return heard


def tasks(world: str, baselines: int, first: int, *, otava: bool) -> list[dict[str, str]]:
    """List a world's trials."""
    return [
        {
            "world": world,
            "seed": str(first + number),
            "check": "yes" * (number < CHECKED),
            "otava": "yes" * (otava and number < DIVIDED),
        }
        for number in range(baselines)
    ]


@dataclass
class Tried:
    """All trials of a world, and how high healthy months bring the clairvoyant, by step."""

    world: str
    trials: list[Trial]
    heights: dict[str, float]

    def healthy(self, of: str) -> list[float]:
        """Count what one of us told in each healthy month of an installation: ours, `info`, or a rival."""
        kind = {OURS: "pages", INFO: INFO}.get(of)
        rows = [one["healthy"][kind] if kind else one["others"].get(of) for one in self.trials]
        return [float(sum(row)) for row in rows if row is not None]

    def changes(self, label: str) -> list[dict[str, Any]]:
        """Give what became of a change, but where a page was open anyway."""
        every = (one for trial in self.trials for one in trial["changes"].get(label, ()))
        return [one for one in every if not one["ours"]["paging"]]

    def delays(self, of: str, label: str) -> list[float]:
        """Give the probes until a page, infinitely many where there is none."""
        if of == OURS:
            found = [one["ours"]["delay"] for one in self.changes(label)]
        elif of == IDEAL:
            found = [self._ideal(one["ideal"], label) for one in self.changes(label)]
        else:
            found = [one["others"][of] for one in self.changes(label) if of in one["others"]]
        return [inf if one is None else one for one in found]

    def onsets(self, label: str) -> list[float]:
        """Give by how many probes the onset was off."""
        return [abs(one["ours"]["onset"]) for one in self.changes(label) if one["ours"]["onset"] is not None]

    def let_go(self) -> float | None:
        """Give the share of steps of 10 % and more whose page closed within a day though they lasted."""
        seen = [one["ours"] for label in STEPS[1:] for one in self.changes(label)]
        closed = [one["closed"] is not None for one in seen if one["delay"] is not None]
        return fmean(closed) if closed else None

    def _ideal(self, record: Sequence[tuple[int, float]], label: str) -> float | None:
        wanted = self.heights[label]
        return next((max(delay, HOLD) for delay, height in record if height >= wanted), None)


def height(told_peaks: Trial, per_month: float) -> float:
    """Give the height that healthy months reach so often; beyond what was seen it falls by e with each unit."""
    peaks, streams = told_peaks["peaks"], told_peaks["streams"]
    often = max(per_month, 30 / streams)
    at_most: float = peaks[min(len(peaks) - 1, round(often * streams))]
    return at_most + log(often / per_month)


def ideal(world: str, trials: Sequence[Trial], peaks: dict[tuple[str, str], Trial]) -> dict[str, float]:
    """Give the clairvoyant's heights in a world: as many false pages of a metric as the detector had, or half a one."""
    months = [count for trial in trials for count in trial["healthy"]["pages"]]
    per_month = max(sum(months), 0.5) / len(months)
    kind = WORLDS[world].ideal
    return {label: height(peaks[kind, label], per_month) for label in STEPS} if kind else {}


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value that a share of them does not exceed."""
    return sorted(values)[max(0, -int(-share * len(values) // 1) - 1)] if values else inf


def p90(values: Sequence[float]) -> float:
    """Give the 90th percentile."""
    return quantile(values, 0.9)


def interval(values: Sequence[float], of: Callable[[Sequence[float]], float]) -> tuple[float, float]:
    """Give the 95 % bootstrap interval of a figure."""
    rng = random.Random(1)
    drawn = sorted(of(rng.choices(values, k=len(values))) for _ in range(1000))
    return drawn[25], drawn[974]
