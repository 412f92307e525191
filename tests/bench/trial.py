"""One baseline's trial in a process of its own: a line of JSON in, a line of JSON out, in an environment with NumPy.

A healthy month of two metrics, then the same month's stretches made slower from some probe on, for the product and for
every rival. A line with an `error` is the end: the vectorised detector must do what the product does.
"""

import json
import random
import sys
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rivals import ALARMS, Clairvoyant, e_divisive, pages
from seen import probes
from swift import Opening, slow, swift
from worlds import DAY, HOUR, WORLDS, Drawn, World, draw, respawned, slowed

from monitor.detect.budget import rate
from monitor.detect.ruler import Policy, Ruler, ruler
from monitor.detect.strata import series
from monitor.model import Baseline, Context

STEPS = (0.05, 0.10, 0.20, 0.50)
SPAWN, RAMP, HEALS = "spawn", "ramp", "heals"
SPAWNED, CREEPING, CREPT = 0.25, 0.005, 0.20
SLOW, SLOW_FOR = 0.20, 3 * HOUR
ARMS = 2
MONTH = 30 * DAY
RATE = rate(1.0, ARMS)
"""An operator accepts one false page in 30 days."""
HEALED, HORIZON, LONG_HORIZON = 1500, 1440, 2880
"""Probes before a change, and after it; a ramp needs longer."""
REPEATS = 3
WATCHED = 720
"""Probes after a change that E-divisive gets."""
STREAMS, HIGHEST = 200, 400
OTAVA = "E-divisive (Otava)"
By = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one change: probes until the first page and until that closed, its onset's error in probes.

    `named` says that it was said to have begun with a restart, `again` how many pages came after it, `paging` that one
    was open when the change came, so that nothing can be told.
    """

    delay: int | None = None
    onset: int | None = None
    closed: int | None = None
    named: bool = False
    again: int = 0
    paging: bool = False


def policy(world: World) -> Policy:
    """Give what an operator would choose for a world."""
    return Policy(180.0, 600.0, world.watching, RATE)


def trial(name: str, seed: int, *, check: bool, otava: bool) -> dict[str, Any]:
    """Try one baseline of a world."""
    world, chosen = WORLDS[name], policy(WORLDS[name])
    rng = random.Random(seed)
    counts: dict[str, list[int]] = {"pages": [], "info": []}
    others: dict[str, list[int]] = {rival: [] for rival in ALARMS}
    for arm in range(ARMS):
        baseline, live = draw(world, seed * ARMS + arm, MONTH)
        against = ruler(Baseline("bench", Context("", ""), 0.0, series(probes(baseline))), chosen)
        found = swift(against, live, chosen)
        counts["pages"].append(sum(one.pages is not None for one in found))
        counts["info"].append(sum(one.pages is None for one in found))
        for rival, alarms in ALARMS.items():
            others[rival].append(len(pages(alarms(baseline, live), int(HOUR / world.watching))))
        if otava:
            others.setdefault(OTAVA, []).append(3 * len(e_divisive(live.cut(0, len(live.at) // 3))))
    cost = _checked(against, live, chosen) if check else None
    changes = {}
    for label, by, repeats in _changes(name):
        changes[label] = [
            _change(world, against, baseline, live, rng, label, by, check=check, otava=otava) for _ in range(repeats)
        ]
    return {"healthy": counts, "others": others, "changes": changes, "cost": cost}


def _changes(name: str) -> list[tuple[str, By, int]]:
    steps = [(f"{step:+.0%}", _by(step), REPEATS) for step in STEPS]
    stories: list[tuple[str, By, int]] = [(SPAWN, _by(SPAWNED), 1), (RAMP, _creeping, 1), (HEALS, _healing, 1)]
    return [*steps, *stories] if name == "ar" else steps


def _by(step: float) -> By:
    return lambda _: step


def _creeping(seconds: float) -> float:
    return min(CREPT, CREEPING * seconds / HOUR)


def _healing(seconds: float) -> float:
    return SLOW if seconds < SLOW_FOR else 0.0


def _change(
    world: World,
    against: Ruler,
    baseline: Drawn,
    live: Drawn,
    rng: random.Random,
    label: str,
    by: By,
    *,
    check: bool,
    otava: bool,
) -> dict[str, Any]:
    horizon = LONG_HORIZON if label == RAMP else HORIZON
    at = rng.randrange(HEALED, len(live.at) - horizon)
    stretch = live.cut(at - HEALED, at + horizon)
    slower = respawned(stretch, HEALED, SPAWNED) if label == SPAWN else slowed(stretch, HEALED, by)
    start = next((index for index, one in enumerate(slower.started) if one), HEALED) if label == SPAWN else HEALED
    found = swift(against, slower, policy(world))
    if check and found != slow(against, slower, policy(world)):
        raise AssertionError(f"not what the product finds: {label}")
    ours = _seen(found, slower, start)
    seen = {rival: _alarmed(alarms(baseline, slower), start) for rival, alarms in ALARMS.items()}
    if otava:
        alarmed = [one for one in e_divisive(slower.cut(0, start + WATCHED), start) if one >= start]
        seen[OTAVA] = alarmed[0] - start + 1 if alarmed else None
    ideal = []
    if world.ideal and label not in {SPAWN, RAMP, HEALS}:
        ideal = Clairvoyant(world.ideal, by(0.0)).record(slower.noise, start)
    return {"ours": asdict(ours), "others": seen, "ideal": ideal}


def _seen(found: list[Opening], drawn: Drawn, start: int) -> Seen:
    for one in found:
        if one.pages is not None and one.pages < start and (one.closed is None or one.closed >= start):
            return Seen(paging=True)
    paged = [one for one in found if one.pages is not None and one.pages >= start]
    if not paged:
        return Seen()
    first = paged[0]
    assert first.pages is not None
    onset = bisect_left(drawn.at, first.since) - start if first.at >= start else None
    closed = None if first.closed is None else first.closed - start + 1
    return Seen(first.pages - start + 1, onset, closed, first.spawned, len(paged) - 1)


def _alarmed(alarms: Any, start: int) -> int | None:
    later = alarms[start:].tolist()
    return later.index(True) + 1 if True in later else None


def _checked(against: Ruler, live: Drawn, chosen: Policy) -> float:
    """Compare with the product over the whole month; give its CPU seconds per probe."""
    began = time.process_time()
    list(probes(live))
    drawn = time.process_time()
    found = slow(against, live, chosen)
    ended = time.process_time()
    if found != swift(against, live, chosen):
        raise AssertionError("not what the product finds: healthy")
    return (ended - drawn - (drawn - began)) / len(live.at)


def answer(task: dict[str, str]) -> dict[str, Any]:
    """Do one task."""
    if "ideal" in task:
        return {"peaks": Clairvoyant(task["ideal"], float(task["step"])).peaks(STREAMS)[:HIGHEST], "streams": STREAMS}
    check, otava = bool(task["check"]), bool(task["otava"])
    return trial(task["world"], int(task["seed"]), check=check, otava=otava)


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        try:
            told = answer(json.loads(line))
        except AssertionError as error:
            told = {"error": f"{line.strip()}: {error}"}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
