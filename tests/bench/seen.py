"""What the detector makes of drawn probes before it weighs them: expectations, resets and transients, with NumPy."""

import importlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from worlds import Drawn

from monitor.detect.leaves import leaf
from monitor.detect.ruler import Policy, Ruler
from monitor.detect.strata import place, stratum
from monitor.detect.transient import FAR, NEIGHBOURS
from monitor.model import Load, Probe

np: Any = importlib.import_module("numpy")  # the bench's own environment has it, the one that checks types has not

Array = Any
METRIC, PROFILE = "tpot", "short"


def probes(drawn: Drawn) -> Iterator[Probe]:
    """Give what was drawn as the canary would."""
    rows = zip(drawn.at, drawn.seconds, drawn.running, drawn.kv, drawn.warmup, drawn.started, strict=True)
    for at, seconds, running, kv, warmup, started in rows:
        load = Load(running, 0.0, kv)
        yield Probe(
            at, PROFILE, "1", "ok", tpot=seconds, before=load, after=load, warmup=warmup, started=started
        )  # fmt: skip


def expected(against: Ruler, drawn: Drawn) -> tuple[Array, Array, Array]:
    """Look up each probe's leaf, once per load: typical, spread, error; what has none is not a number."""
    known: dict[tuple[float, float | None], tuple[float, float, float]] = {}
    for running, kv in set(zip(drawn.running, drawn.kv, strict=True)):
        load = Load(running, 0.0, kv)
        probe = Probe(0.0, PROFILE, "1", "ok", before=load, after=load)
        tree = against.trees.get((METRIC, stratum(probe)))
        found = None if tree is None else leaf(tree, place(probe))
        known[running, kv] = (found.typical, found.spread, found.error) if found else (np.nan,) * 3
    rows = np.array([known[load] for load in zip(drawn.running, drawn.kv, strict=True)])
    return rows[:, 0], rows[:, 1], rows[:, 2]


def lives(at: Array, started: Array, first: float, policy: Policy) -> Iterator[tuple[slice, bool]]:
    """Split where the server began anew or was silent; tell whether it began anew."""
    silent = np.diff(at, prepend=at[:1]) > policy.stale_after
    anew = np.diff(started, prepend=first) != 0 if not np.isnan(first) else np.zeros(len(at), bool)
    edges = [0, *(int(edge) for edge in np.flatnonzero(silent | anew) if edge), len(at)]
    for start, end in pairwise(edges):
        yield slice(start, end), bool(start < end and anew[start] and not silent[start])


def sifted(scores: Sequence[float], lasting: int) -> tuple[Array, Array, Array]:
    """Do what `sift` does: which probes count, how many do at each look, and at which probe each look is."""
    kept: list[int] = []
    ends: list[int] = []
    looks: list[int] = []
    held: list[int] = []
    for index, score in enumerate(scores):
        if score > FAR and score > max(_level(scores, kept), 0.0) + FAR:
            held.append(index)
            if len(held) < lasting:
                continue
            kept += held
        else:
            kept.append(index)
        held = []
        ends.append(len(kept))
        looks.append(index)
    return np.array(kept, int), np.array(ends, int), np.array(looks, int)


def _level(scores: Sequence[float], kept: Sequence[int]) -> float:
    last = [scores[index] for index in kept[-NEIGHBOURS:]]
    return median([*last, *[0.0] * (NEIGHBOURS - len(last))])
