"""How soon the detector finds slowdowns, and how often it is wrong, in one table: `make bench-detection`.

Each baseline's trial runs in a process of its own (trial.py): a healthy month of two metrics, as an installation has
them, then stretches of it that get slower. False pages are counted per installation and 30 days. What peers count is
merged for an hour; E-divisive, which is slow, has the first baselines only. Delays are in probes, median / 90th
percentile, from the first slow one to the page; the clairvoyant has as many false pages as the detector was seen to
have, and the same hold.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf, log
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean, median
from typing import Any, Self, TextIO

from peers import HERE, AbsentError, Child, python
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recorded import told
from worlds import WORLDS

REPORTING = 1_000_000
"""From here on seeds are for reporting; smaller ones are for tuning, so that what is reported was never tuned to."""
STEPS = ("+5%", "+10%", "+20%", "+50%")
MEASURED = ("iid", "ar", "diurnal")
JUDGED = ("iid", "ar", "diurnal", "mislabelled", "mix", "bursts", "deploy")
"""Worlds in which a day's baseline lets small effects page."""
OURS, IDEAL = "monitor", "clairvoyant"
CHECKED, DIVIDED = 1, 2
"""Baselines whose trials are compared with the product, and those that E-divisive sees too."""
SIX_HOURS = 360
FALSE, SLOWER, SLOWEST, ONSET, CREPT, COST = 1, 1.5, 2.5, 3, 0.08, 0.2e-3
"""The goals of detection.md."""
RATE = 0.26 / (30 * 86_400)
HOLD = 4

Trial = dict[str, Any]


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value that a share of them does not exceed."""
    return sorted(values)[max(0, -int(-share * len(values) // 1) - 1)] if values else inf


def interval(values: Sequence[float], of: Callable[[Sequence[float]], float]) -> tuple[float, float]:
    """Give the 95 % bootstrap interval of a figure."""
    rng = random.Random(1)
    drawn = sorted(of(rng.choices(values, k=len(values))) for _ in range(1000))
    return drawn[25], drawn[974]


@dataclass
class Tried:
    """All trials of a world, and how high healthy months bring the clairvoyant, by step."""

    world: str
    trials: list[Trial]
    heights: dict[str, float]

    def healthy(self, of: str) -> list[float]:
        """Count what one of us told in each healthy month of an installation: ours, `info`, or a rival."""
        kind = {OURS: "pages", "info": "info"}.get(of)
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
        """Give the share of steps whose page closed though they lasted."""
        closed = [
            one["ours"]["closed"] for label in STEPS for one in self.changes(label) if one["ours"]["delay"] is not None
        ]
        return fmean(closed) if closed else None

    def _ideal(self, record: Sequence[tuple[int, float]], label: str) -> float | None:
        wanted = self.heights[label]
        return next((max(delay, HOLD) for delay, height in record if height >= wanted), None)


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


def tasks(world: str, baselines: int, days: float, first: int, *, otava: bool) -> list[dict[str, str]]:
    """List a world's trials."""
    return [
        {
            "world": world,
            "seed": str(first + number),
            "days": str(days),
            "check": "yes" * (number < CHECKED),
            "otava": "yes" * (otava and number < DIVIDED),
        }
        for number in range(baselines)
    ]


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


def shown(delays: Sequence[float]) -> str:
    """Show median / 90th percentile, and what share was found if not all."""
    if not delays:
        return "-"
    found = fmean(delay < inf for delay in delays)
    figures = "/".join("-" if figure == inf else f"{figure:.0f}" for figure in (median(delays), quantile(delays, 0.9)))
    return figures if found == 1 else f"{figures} {found:.0%}"


def rows(tried: Tried, absent: str) -> Iterator[tuple[str, ...]]:
    """Give a world's rows: ours, the clairvoyant's, the rivals'."""
    every = WORLDS[tried.world].watching / 60
    name = tried.world if every == 1 else f"{tried.world} ({every:.0f} min a probe)"
    for of in (OURS, IDEAL, *dict.fromkeys(rival for trial in tried.trials for rival in trial["others"])):
        counts = tried.healthy(of) if of != IDEAL else []
        if of == IDEAL and not tried.heights:
            continue
        mean = f"{fmean(counts):.2f}" if counts else "same"
        low, high = interval(counts, p90) if counts else (0.0, 0.0)
        tail = f"{p90(counts):.0f} [{low:.0f}, {high:.0f}]" if counts else ""
        info = f"{fmean(tried.healthy('info')):.2f}" if of == OURS else ""
        off = [one for label in STEPS for one in tried.onsets(label)] if of == OURS else []
        closed = tried.let_go() if of == OURS else None
        yield (
            name, of, mean, tail, info, *(shown(tried.delays(of, label)) for label in STEPS),
            f"{median(off):.0f}" if off else "", "" if closed is None else f"{closed:.0%}",
        )  # fmt: skip
    if absent:
        yield name, "E-divisive", *["-"] * 9, absent


def p90(values: Sequence[float]) -> float:
    """Give the 90th percentile."""
    return quantile(values, 0.9)


def quiet(every: Sequence[Tried]) -> Iterator[str]:
    """Name each world with too many false pages."""
    for one in every:
        pages = one.healthy(OURS)
        if p90(pages) > FALSE:
            yield f"{one.world}: {p90(pages):.0f} {list(interval(pages, p90))}, mean {fmean(pages):.2f}"


def soon(every: Sequence[Tried], of: Callable[[Sequence[float]], float], most: float) -> Iterator[str]:
    """Name each step that takes too much longer than the clairvoyant does."""
    for one in every:
        for label in ("+10%", "+20%") if one.world in MEASURED else ():
            ours, best = of(one.delays(OURS, label)), of(one.delays(IDEAL, label))
            if not ours <= most * best:
                yield f"{one.world} {label}: {ours:.0f} probes, clairvoyant {best:.0f}: {ours / best:.2f} times"


def all_found(every: Sequence[Tried]) -> Iterator[str]:
    """Name each step that the clairvoyant finds within six hours and the detector does not."""
    for one in (one for one in every if one.world in JUDGED):
        for label in STEPS:
            pairs = zip(one.delays(OURS, label), one.delays(IDEAL, label), strict=True)
            found = [ours <= SIX_HOURS for ours, best in pairs if best <= SIX_HOURS]
            if not all(found):
                yield f"{one.world} {label}: {found.count(False)} of {len(found)} not"


def placed(every: Sequence[Tried]) -> Iterator[str]:
    """Name each step whose onset is off by too much."""
    for one in every:
        for label in STEPS if one.world in MEASURED else ():
            off = one.onsets(label)
            if off and median(off) > ONSET:
                yield f"{one.world} {label}: {median(off):.0f} probes"


def crept(every: Sequence[Tried]) -> Iterator[str]:
    """Say how slow the server was when a ramp paged, if too slow."""
    at = [min(0.20, 0.005 * delay / 60) for one in every for delay in one.delays(OURS, "ramp") if one.world == "ar"]
    if at and p90(at) > CREPT:
        yield f"median at {median(at):+.1%}, p90 at {p90(at):+.1%}"


def spawned(every: Sequence[Tried]) -> Iterator[str]:
    """Say how many servers that spawned slow were not found within an hour, or not named so."""
    seen = [one["ours"] for tried in every for one in tried.changes("spawn")]
    late = sum(one["delay"] is None or one["delay"] > 60 for one in seen)
    unnamed = sum(one["delay"] is not None and not one["named"] for one in seen)
    if late or unnamed:
        yield f"{late} of {len(seen)} later than an hour, {unnamed} not said to have spawned slow"


def dear(every: Sequence[Tried]) -> Iterator[str]:
    """Say what a probe costs, if too much."""
    costs = [trial["cost"] for one in every for trial in one.trials if trial["cost"]]
    if costs and max(costs) > COST:
        yield f"{max(costs) * 1e3:.3f} ms"


def recordings(console: Console) -> Iterator[str]:
    """Judge what was recorded, and name each series that is judged wrongly."""
    empty = True
    for one in told(RATE):
        empty = False
        said = f"{one.name}: {one.hours:.1f} h, {one.found} of {one.faults} faults, {one.false} false pages"
        console.print(f"recorded {said}, {one.info} info")
        if one.false:
            yield said
    if empty:
        yield "nothing is recorded: tests/captures/series has no *.csv"


def verdicts(every: Sequence[Tried], console: Console) -> Iterator[str]:
    """Say of each goal whether it is met, and where not."""
    for goal, misses in (
        (f"false pages: p90 over baselines at most {FALSE} in 30 days, every world", quiet(every)),
        ("no false page in what was recorded", recordings(console)),
        (f"median delay of +10 % and +20 % at most {SLOWER} times the clairvoyant's", soon(every, median, SLOWER)),
        (f"p90 at most {SLOWEST} times", soon(every, p90, SLOWEST)),
        ("what the clairvoyant finds within 6 h is found within 6 h", all_found(every)),
        (f"a ramp pages before {CREPT:+.0%}", crept(every)),
        ("a server that spawned 25 % slower pages within an hour and is named", spawned(every)),
        (f"onset within {ONSET} probes, median", placed(every)),
        (f"at most {COST * 1e3:g} ms of CPU per probe and metric", dear(every)),
    ):
        found = list(misses)
        yield f"{'not met' if found else 'met'}: {goal}" + "".join(f"\n  {miss}" for miss in found)


def heads() -> Table:
    """Make the empty table."""
    table = Table(box=None)
    for title in ("world", "detector"):
        table.add_column(title)
    for title in ("false", "p90 [95 %]", "info", *STEPS, "onset off", "let go"):
        table.add_column(title, justify="right")
    table.add_column("")
    return table


def run(worlds: Sequence[str], baselines: int, days: float, first: int, jobs: int, raw: TextIO | None) -> None:
    """Try all worlds and print the table."""
    console, progress, absent = Console(width=150, highlight=False), Console(stderr=True), ""
    try:
        interpreter = python("otava")
    except AbsentError as error:
        interpreter, absent = python("detection"), str(error)
    with Trials(interpreter, jobs) as trials:
        kinds = [(kind, label) for kind in ("iid", "ar") for label in STEPS]
        asked = [{"ideal": kind, "step": f"{float(label.strip('%')) / 100}"} for kind, label in kinds]
        peaks = dict(zip(kinds, trials.tried(asked), strict=True))
        every = []
        for world in worlds:
            wanted = tasks(world, baselines, days, first, otava=not absent)
            found = list(track(trials.tried(wanted), world, len(wanted), console=progress, transient=True))
            every.append(Tried(world, found, ideal(world, found, peaks)))
            if raw:
                raw.writelines(json.dumps({"world": world, **one}) + "\n" for one in found)
    table = heads()
    for one in every:
        table.add_section()
        for row in rows(one, absent):
            table.add_row(*row)
    console.print(table)
    costs = [trial["cost"] for one in every for trial in one.trials if trial["cost"]]
    console.print(
        f"\n{baselines} baselines a world, {days:g} days each; CPU per probe and metric {max(costs) * 1e3:.3f} ms"
    )
    for verdict in verdicts(every, console):
        console.print(verdict, soft_wrap=True)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description="How soon slowdowns are found, and how often nothing was slower.")
    parser.add_argument("--baselines", type=int, default=30, help="baselines a world (default: 30)")
    parser.add_argument("--full", action="store_const", const=200, dest="baselines", help="200 of them")
    parser.add_argument("--days", type=float, default=30.0, help="days of each healthy run (default: 30)")
    parser.add_argument("--world", action="append", choices=list(WORLDS), help="only this one; repeatable")
    parser.add_argument("--tuning", action="store_const", const=0, default=REPORTING, help="seeds to tune with")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--raw", type=argparse.FileType("w"), help="where to keep each trial, a line of JSON each")
    options = parser.parse_args()
    run(
        options.world or list(WORLDS), options.baselines, options.days, options.tuning, options.jobs, options.raw
    )  # fmt: skip


if __name__ == "__main__":
    main()
