"""How true the canary's figures are, in one table: `make bench-accuracy`, beside the clients that others measure with.

A server that knows the truth (truth.py) answers by scripts, in turn to every client (worker.py, ours.py), all of them
processes of their own. An error is what a client reports less what is true: TTFT from the arrival of the whole request
to the write of the first token, TPOT from there to the write of the last, E2E from the arrival to the last.

In the second round the canary runs in one event loop with a monitor that watches 20 simulated servers. Clients that
drop idle connections after 5 s (openai, guidellm) connect anew for most requests of `long`; openai's TTFT pays for it.
"""

import argparse
import os
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from peers import NAMES, AbsentError, Child, Seat, Truth, Worker, watcher, worker
from rich.console import Console
from rich.table import Table
from truth import SCRIPTS, Figures

sys.path.insert(0, str(Path(__file__).parents[1]))

from processes import MONITOR

from monitor.stats import quantile

OURS, BARE = NAMES[:2]
WARMUP = 3
WATCHED = 20
QUIET, WATCHING = "quiet", f"watching {WATCHED} targets"
MOST_TTFT, MOST_MORE, MOST_TPOT = 1.0, 0.5, 0.5
"""The goals: ms, ms more while watching, percent."""

Cell = tuple[str, str]


@dataclass
class Errors:
    """What one client got wrong in one script: TTFT and E2E in ms, TPOT in percent. What it did not tell is missing."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    ttft: list[float] = field(default_factory=list)
    tpot: list[float] = field(default_factory=list)
    e2e: list[float] = field(default_factory=list)

    def add(self, told: Figures, true: Figures) -> None:
        """Compare one answer's figures."""
        self.answered += 1
        if told.ttft is not None and true.ttft is not None:
            self.ttft.append((told.ttft - true.ttft) * 1e3)
        if told.tpot is not None and true.tpot is not None:
            self.tpot.append((told.tpot / true.tpot - 1) * 100)
        if told.e2e is not None and true.e2e is not None:
            self.e2e.append((told.e2e - true.e2e) * 1e3)

    @property
    def note(self) -> str:
        """Say what is not in the figures."""
        asked = self.answered + len(self.failures)
        failed = [f"{len(self.failures)} of {asked} failed: {self.failures[0]}"] if self.failures else []
        counts = {"TTFT": len(self.ttft), "TPOT": len(self.tpot), "E2E": len(self.e2e)}
        partly = [f"{name} told in {count} of {asked}" for name, count in counts.items() if 0 < count < self.answered]
        return "; ".join((*failed, *partly))


Results = dict[tuple[str, str], Errors]
"""By script and client."""


def measure(truth: Truth, seats: Sequence[Seat], scripts: Sequence[str], requests: int, label: str) -> Results:
    """Ask in turn, request by request, in an order that changes; what comes first only warms up."""
    results: Results = {}
    rng = random.Random(1)
    for script in scripts:
        Console(stderr=True).print(f"{label}: {script}", style="dim")
        for number in range(-WARMUP, requests):
            for seat in rng.sample(seats, len(seats)):
                prompt = f"{script} {label} {number} {seat.name}"
                errors = results.setdefault((script, seat.name), Errors()) if number >= 0 else Errors()
                told = seat.worker.ask(seat.name, prompt)
                if isinstance(told, str):
                    errors.failures.append(told)
                else:
                    errors.add(told, truth.of(prompt))
    return results


@contextmanager
def seated(url: str) -> Iterator[tuple[list[Seat], dict[str, str]]]:
    """Start every client that can be had; give the reasons why the others cannot. Raises AbsentError for ours."""
    seats: list[Seat] = []
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        for name in NAMES:
            try:
                seats.append(Seat(name, stack.enter_context(worker(name, url))))
            except AbsentError as error:
                if name == OURS:
                    raise
                absent[name] = str(error)
        yield seats, absent


@contextmanager
def watched(url: str) -> Iterator[Worker]:
    """Start servers to watch, and our canary in a process that watches them."""
    with ExitStack() as stack:
        urls = [stack.enter_context(Simulated()).url for _ in range(WATCHED)]
        yield stack.enter_context(watcher(url, urls))


class Simulated(Child):
    """A simulated vLLM; serves at `url`."""

    def __init__(self) -> None:
        super().__init__([MONITOR, "simulate", "--listen", "127.0.0.1:0"])
        self.url = self._out.readline().split()[-1]

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        super().__exit__()


def cells(errors: Sequence[float]) -> Cell:
    """Show the median with its sign, and the 90th percentile of the size."""
    if not errors:
        return "none", ""
    return f"{median(errors):+.2f}", f"{quantile([abs(error) for error in errors], 0.9):.2f}"


def size(errors: Sequence[float]) -> float | None:
    """Give the median size of errors."""
    return median(abs(error) for error in errors) if errors else None


def fill(table: Table, label: str, results: Results) -> None:
    """Add a round's rows, a script after the other."""
    for script in dict.fromkeys(script for script, _ in results):
        table.add_section()
        for name in (name for name in NAMES if (script, name) in results):
            errors = results[script, name]
            table.add_row(
                label, script, name, *cells(errors.ttft), *cells(errors.tpot), *cells(errors.e2e), errors.note
            )


def accurate(results: Results) -> Iterator[str]:
    """Name each script in which our TTFT is not the nearest to the truth, or not near enough."""
    for script in dict.fromkeys(script for script, _ in results):
        ours = size(results[script, OURS].ttft)
        if ours is None or ours > MOST_TTFT:
            yield f"{script}: ours is {shown(ours)} ms off"
        for name in NAMES:
            theirs = size(results[script, name].ttft) if (script, name) in results else None
            if name not in {OURS, BARE} and theirs is not None and not (ours is not None and ours < theirs):
                yield f"{script}: ours {shown(ours)} ms, {name} {shown(theirs)} ms"


def undisturbed(quiet: Results, watching: Results) -> Iterator[str]:
    """Name each script in which watching costs too much of the accuracy of our TTFT."""
    for script, name in watching:
        if name == OURS:
            alone, beside = size(quiet[script, name].ttft), size(watching[script, name].ttft)
            if alone is None or beside is None or beside - alone > MOST_MORE:
                yield f"{script}: {shown(alone)} ms alone, {shown(beside)} ms while watching"


def paced(results: Results) -> Iterator[str]:
    """Name each script in which our TPOT is off; where the server told no count there is none."""
    for (script, name), errors in results.items():
        off = size(errors.tpot)
        if name == OURS and SCRIPTS[script].usage and (off is None or off > MOST_TPOT):
            yield f"{script}: {shown(off)} %"


def shown(value: float | None) -> str:
    """Show a figure that may be missing."""
    return "none" if value is None else f"{value:.2f}"


def verdicts(quiet: Results, watching: Results) -> Iterator[str]:
    """Say of each goal whether it is met, and where not."""
    for goal, misses in (
        (f"median size of our TTFT error below every peer's but {BARE}' and at most {MOST_TTFT:g} ms", accurate(quiet)),
        (f"at most {MOST_MORE:g} ms more while watching", undisturbed(quiet, watching)),
        (f"TPOT within {MOST_TPOT:g} %, quiet", paced(quiet)),
        (f"TPOT within {MOST_TPOT:g} %, watching", paced(watching)),
    ):
        found = list(misses)
        yield f"{'not met' if found else 'met'}: {goal}" + "".join(f"\n  {miss}" for miss in found)


def heads() -> Table:
    """Make the empty table."""
    table = Table(box=None)
    for title in ("round", "script", "client"):
        table.add_column(title)
    for title in ("TTFT ms", "p90", "TPOT %", "p90", "E2E ms", "p90"):
        table.add_column(title, justify="right")
    table.add_column("")
    return table


def run(requests: int, scripts: Sequence[str]) -> None:
    """Measure both rounds and print the table."""
    table, console, before = heads(), Console(width=140, highlight=False), os.getloadavg()
    with Truth() as truth, seated(truth.url) as (seats, absent):
        versions = ", ".join(f"{seat.name} {seat.worker.version}" for seat in seats)
        quiet = measure(truth, seats, scripts, requests, QUIET)
        with watched(truth.url) as monitor:
            beside = [Seat(name, monitor) for name in (OURS, BARE)]
            watching = measure(truth, beside, scripts, requests, WATCHING)
    fill(table, QUIET, quiet)
    fill(table, WATCHING, watching)
    for name, reason in absent.items():
        table.add_row(QUIET, "all", name, *["-"] * 6, reason)
    console.print(table)
    console.print(
        f"\nmedian with its sign, p90 of the size; {requests} requests a script and client; {versions}", soft_wrap=True
    )
    console.print(f"load average {before[0]:.2f} before, {os.getloadavg()[0]:.2f} after")
    for verdict in verdicts(quiet, watching):
        console.print(verdict, soft_wrap=True)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description="How true the canary's figures are.")
    parser.add_argument("--requests", type=int, default=60, help="requests a script and client (default: 60)")
    parser.add_argument("--quick", action="store_const", const=10, dest="requests", help="10 of them")
    parser.add_argument("--script", action="append", choices=list(SCRIPTS), help="only this one; repeatable")
    options = parser.parse_args()
    run(options.requests, options.script or list(SCRIPTS))


if __name__ == "__main__":
    main()
