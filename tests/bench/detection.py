"""How soon the detector finds slowdowns, and how often it is wrong, in one table: `make bench-detection`.

Each baseline's trial runs in a process of its own (trial.py): a healthy month of two metrics, as an installation has
them, then stretches of it that get slower. False pages are counted per installation and 30 days. What peers count is
merged for an hour; E-divisive, which is slow, has the first baselines only. Delays are in probes, median / 90th
percentile, from the first slow one to the page; the clairvoyant has as many false pages as the detector was seen to
have, and the same hold.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from statistics import fmean, median
from typing import TextIO

from peers import AbsentError, python
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from goals import verdicts
from recorded import Fault, told
from tried import IDEAL, INFO, OURS, STEPS, Trials, Tried, ideal, interval, p90, tasks
from worlds import WORLDS

REPORTING = 1_000_000
"""From here on seeds are for reporting; smaller ones are for tuning, so that what is reported was never tuned to."""


def shown(delays: Sequence[float]) -> str:
    """Show median / 90th percentile, and what share was found if not all."""
    if not delays:
        return "-"
    found = fmean(delay < inf for delay in delays)
    figures = "/".join("-" if figure == inf else f"{figure:.0f}" for figure in (median(delays), p90(delays)))
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
        info = f"{fmean(tried.healthy(INFO)):.2f}" if of == OURS else ""
        off = [one for label in STEPS for one in tried.onsets(label)] if of == OURS else []
        closed = tried.let_go() if of == OURS else None
        yield (
            name, of, mean, tail, info, *(shown(tried.delays(of, label)) for label in STEPS),
            f"{median(off):.0f}" if off else "", "" if closed is None else f"{closed:.0%}",
        )  # fmt: skip
    if absent:
        yield name, "E-divisive", *["-"] * 9, absent


def heads() -> Table:
    """Make the empty table."""
    table = Table(box=None)
    for title in ("world", "detector"):
        table.add_column(title)
    for title in ("false", "p90 [95 %]", "info", *STEPS, "onset off", "let go"):
        table.add_column(title, justify="right")
    table.add_column("")
    return table


def seen(fault: Fault) -> str:
    """Say when a recorded fault was found, and what it was seen to change."""
    told_of = fault.pages or fault.found
    first = min(told_of, key=lambda one: one.opened_at, default=None)
    if first is None:
        return "not found"
    what = ", ".join(f"{one.finding.subject} {one.change_ratio:+.0%}" for one in told_of)
    how = "paged" if fault.pages else "informed"
    return f"{how} after {first.opened_at - fault.began:.0f} s, begun {first.onset_at - fault.began:+.0f} s: {what}"


def run(worlds: Sequence[str], baselines: int, first: int, jobs: int, raw: TextIO | None) -> None:
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
            wanted = tasks(world, baselines, first, otava=not absent)
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
    console.print(f"\n{baselines} baselines a world, 30 days each")
    recordings = list(told(1.0))
    for series in recordings:
        said = f"{len(series.false)} false pages, {len(series.info)} findings that inform"
        console.print(f"recorded {series.name}, {series.hours:.1f} h after its baseline: {said}")
        for fault in series.faults:
            console.print(f"  {fault.name}: {seen(fault)}")
    if not recordings:
        console.print("SKIPPED: nothing is recorded, tests/captures/series has no *.csv")
    for verdict in verdicts(every, recordings):
        console.print(verdict, soft_wrap=True)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description="How soon slowdowns are found, and how often nothing was slower.")
    parser.add_argument("--baselines", type=int, default=30, help="baselines a world (default: 30)")
    parser.add_argument("--full", action="store_const", const=200, dest="baselines", help="200 of them")
    parser.add_argument("--world", action="append", choices=list(WORLDS), help="only this one; repeatable")
    parser.add_argument("--tuning", action="store_const", const=0, default=REPORTING, help="seeds to tune with")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--raw", type=argparse.FileType("w"), help="where to keep each trial, a line of JSON each")
    options = parser.parse_args()
    run(
        options.world or list(WORLDS), options.baselines, options.tuning, options.jobs, options.raw
    )  # fmt: skip


if __name__ == "__main__":
    main()
