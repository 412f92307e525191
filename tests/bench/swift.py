"""The product's detector with NumPy: thresholds, leaves and onsets are the product's own, the scan is done at once.

The same findings at the same probes, or the bench ends: `slow` is the product itself, to compare with.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from seen import METRIC, PROFILE, Array, expected, lives, np, probes, sifted
from worlds import Drawn

from monitor.detect.arm import AT_START, HIGHEST, MOST_CHANGE, SURE, Arm, fed, recovered
from monitor.detect.calibrate import FLOOR, HUMBLE_EFFECT, Calibration, doubt, gate
from monitor.detect.ruler import LOWEST, Policy, Ruler
from monitor.detect.scan import LONGEST, Track, information, onset, shift


@dataclass(frozen=True, slots=True)
class Opening:
    """A finding: at which probe it opened, began to page and closed, since when it says it is, and if it spawned so."""

    at: int
    since: float
    pages: int | None
    closed: int | None
    spawned: bool


def slow(against: Ruler, drawn: Drawn, policy: Policy) -> list[Opening]:
    """Ask the product, probe by probe."""
    arm, found = Arm(METRIC, PROFILE), list[Opening]()
    for index, probe in enumerate(probes(drawn)):
        before, arm = arm.found, fed(arm, against, probe, policy)
        if arm.found and not before:
            found.append(Opening(index, arm.found.since, None, None, arm.found.spawned is not None))
        if arm.found and arm.found.pages and found[-1].pages is None:
            found[-1] = replace(found[-1], pages=index)
        if before and not arm.found:
            found[-1] = replace(found[-1], closed=index)
    return found


def swift(against: Ruler, drawn: Drawn, policy: Policy) -> list[Opening]:
    """Find the same at once."""
    calibration = against.calibrations.get((PROFILE, METRIC))
    if calibration is None:
        return []
    typical, spread, error = expected(against, drawn)
    usable = np.flatnonzero(~np.isnan(typical) & ~np.array(drawn.warmup))
    changes = np.log(np.array(drawn.seconds)[usable]) - typical[usable]
    scores = changes / spread[usable] - [doubt(calibration, one) for one in error[usable]]
    at = np.array(drawn.at)[usable]
    started = np.array([np.nan if one is None else one for one in drawn.started])
    found: list[Opening] = []
    state = _State()
    for part, reborn in lives(at, started[usable], started[0], policy):
        kept, ends, seen = sifted(scores[part].tolist(), policy.lasting)
        stretch = _Stretch(at[part][kept], scores[part][kept], changes[part][kept], ends, calibration, policy)
        index = usable[part][seen]
        for opening in stretch.findings(state, reborn=reborn):
            _note(found, opening, index)
    return found


@dataclass
class _State:
    """What a restart or a silence does not end: how large a shift was found, and whether it pages."""

    spreads: float | None = None
    pages: bool = False


Event = tuple[str, int, float, bool]
"""What happened, at which look, since when, and whether it began with a restart."""


class _Stretch:
    """The probes that count between two resets, all windows over them at once."""

    def __init__(
        self, at: Array, scores: Array, changes: Array, ends: Array, calibration: Calibration, policy: Policy
    ) -> None:
        self._windows = [one for one in calibration.windows if one.size >= policy.shortest]
        self._memory, self._shortest = calibration.memory, policy.shortest
        highest = max(HIGHEST, calibration.windows[0].humble + 1)
        self._at, self._ends, self._start = at, ends, 0
        self._scores = np.minimum(highest, np.maximum(LOWEST, scores))
        self._total = np.concatenate([[0.0], np.cumsum(self._scores)])
        self._logs = changes
        clipped = np.minimum(MOST_CHANGE, np.maximum(-MOST_CHANGE, changes))
        self._sums = sums = np.concatenate([[0.0], np.cumsum(clipped)])
        self._by = np.full((len(self._windows), len(ends)), np.nan)
        self._effect = np.full(self._by.shape, np.nan)
        for row, window in enumerate(self._windows):
            looks = np.flatnonzero(ends >= window.size)
            end = ends[looks]
            self._by[row, looks] = self._shifts(end, window.size)
            self._effect[row, looks] = (sums[end] - sums[end - window.size]) / window.size
        self._least, self._humble, self._noise = (
            np.array([getattr(one, name) for one in self._windows])[:, None] for name in ("least", "humble", "noise")
        )
        self._spread = calibration.spread
        self._enough = gate(HUMBLE_EFFECT) if calibration.humble else gate(FLOOR)

    def findings(self, state: _State, *, reborn: bool) -> Iterator[Event]:
        """Follow what opens and closes; the state goes on into the next stretch."""
        news = np.any((self._by >= self._least) & (self._effect >= gate(FLOOR)), axis=0)
        look = 0
        while look < len(self._ends):
            if state.spreads is None:
                coming = np.flatnonzero(news[look:])
                if not len(coming):
                    return
                look += int(coming[0])
                since, at_start = self._opened(look, state)
                yield "opened", look, since, at_start and reborn
                if state.pages:
                    yield "pages", look, 0.0, False
                look += 1
                continue
            closed, pages = self._over(look, state)
            if pages is not None:
                state.pages = True
                yield "pages", pages, 0.0, False
            if closed is None:
                return
            yield "closed", closed, 0.0, False
            reborn, state.spreads, state.pages = False, None, False
            look = closed + 1
            news[look : look + LONGEST] = np.any(
                (self._by >= self._least)[:, look : look + LONGEST]
                & (self._effect[:, look : look + LONGEST] >= gate(FLOOR)),
                axis=0,
            )

    def _shifts(self, end: Array, size: int) -> Array:
        """Do what `shift` does, in the same order, so that not even rounding differs."""
        first, last = self._scores[end - size], self._scores[end - 1]
        before = np.where(end > size, self._scores[end - size - 1], 0.0)
        inside = self._total[end] - self._total[end - size]
        fresh = 1.0 - self._memory
        news = first - self._memory * before + fresh * (inside - first - self._memory * (inside - last))
        return news / information(size, self._memory)

    def _opened(self, look: int, state: _State) -> tuple[float, bool]:
        end = int(self._ends[look])
        start = max(self._start, end - LONGEST - 1)
        track = Track(tuple(self._scores[start:end].tolist()), tuple(self._total[start : end + 1].tolist()))
        size = onset(track, self._memory, self._shortest)
        effect = float(self._sums[end] - self._sums[end - size]) / size
        state.spreads = max(shift(track.scores, track.total, end - start, size, self._memory), effect / self._spread)
        state.pages = bool(self._paging(slice(look, look + 1))[0])
        self._forget(end - size)
        return float(self._at[end - size]), end - start - size <= AT_START

    def _paging(self, looks: slice) -> Array:
        return np.any((self._by[:, looks] >= self._humble) & (self._effect[:, looks] >= self._enough), axis=0)

    def _over(self, look: int, state: _State) -> tuple[int | None, int | None]:
        """Give the look at which a finding closes, and the one at which it begins to page before."""
        assert state.spreads is not None
        by, effect = self._by[:, look:], self._effect[:, look:]
        apart = np.maximum(by, effect / self._spread) + SURE * self._noise
        over = (apart < state.spreads / 2) & (effect < self._enough)
        closed, size = self._recovered(over, look, state.spreads / 2)
        paging = [] if state.pages else np.flatnonzero(self._paging(slice(look, closed)))
        if closed is not None:
            self._forget(int(self._ends[closed]) - size)
        return closed, look + int(paging[0]) if len(paging) else None

    def _recovered(self, over: Array, look: int, half: float) -> tuple[int | None, int]:
        """Give the first look at which a window that is over is recovered by its probes, too, and its size."""
        for each in np.flatnonzero(over.any(axis=0)):
            end = int(self._ends[look + each])
            for row in np.flatnonzero(over[:, each]):
                size = self._windows[row].size
                if recovered(self._logs[end - size : end].tolist(), half, self._spread):
                    return look + int(each), size
        return None, 0

    def _forget(self, start: int) -> None:
        """Let go the probes before one."""
        self._start = max(start, self._start)
        for row, window in enumerate(self._windows):
            edge = int(np.searchsorted(self._ends, self._start + window.size))
            self._by[row, :edge] = np.nan
            if edge < len(self._ends) and self._ends[edge] == self._start + window.size:
                part = slice(self._start, self._start + window.size + 1)
                scores, total = self._scores[part].tolist(), self._total[part].tolist()
                self._by[row, edge] = shift(scores, total, window.size, window.size, self._memory)


def _note(found: list[Opening], event: Event, index: Array) -> None:
    what, look, since, spawned = event
    at = int(index[look])
    if what == "opened":
        found.append(Opening(at, since, None, None, spawned))
    elif what == "pages":
        found[-1] = replace(found[-1], pages=at)
    else:
        found[-1] = replace(found[-1], closed=at)
