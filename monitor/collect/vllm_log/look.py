"""A vLLM server's log: its lines of statistics as readings, its first lines as facts; for servers without metrics."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from monitor import catalog
from monitor.collect.follow import Follower, Piece
from monitor.collect.vllm_log.clock import Clock, Stamp, stamp
from monitor.collect.vllm_log.entry import Entry, Unwrapper
from monitor.collect.vllm_log.line import HEAD, read
from monitor.collect.vllm_log.run import KEYWORDS, Latest, Run
from monitor.model import Fact, Reading, labels

UNSET = "log_file is not set for this server: name the file that vLLM's output goes to"
SLACK = 60.0
"""Seconds by which a line may be ahead of us: more, and its time zone is not what we think."""
_UNREAD = "vLLM logs it when it starts: that was not seen, it is more than 256 KiB up or the monitor began later"


class Log:
    """One server's log; it remembers between looks what it read."""

    def __init__(self, path: Path) -> None:
        self._follower = Follower(path)
        self._unwrapper = Unwrapper()
        self._clock = Clock()
        self._run = Run()
        self._looked_at = -math.inf

    def look(self, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
        """Read what is new; raises LookError where the file cannot be read."""
        for piece in self._follower.read():
            self._take(piece, at)
        self._looked_at = at
        latest = (one for _, one in sorted(self._run.latest.items()) if at <= one.until)
        return tuple(reading for one in latest for reading in _readings(one)), _facts(self._run, self._follower.path)

    def _take(self, piece: Piece, at: float) -> None:
        if piece.gap:
            self._unwrapper.forget()
        entries = tuple(self._unwrapper.entries(piece.lines))
        if (told := _dated(entries, piece)) is not None:
            self._clock.heed(told, piece.written)
        for number, entry in enumerate(entries, 1):
            if any(word in entry.text for word in KEYWORDS):
                line = read(entry.text)
                written = self._written(entry, line.stamp, piece, last=number == len(entries))
                self._run = self._run.heard(line, self._possible(written, piece, at))

    def _written(self, entry: Entry, told: Stamp | None, piece: Piece, *, last: bool) -> float | None:
        if entry.at is not None:
            return entry.at
        if told is not None and (written := self._clock.read(told, piece.written)) is not None:
            return written
        return piece.written if piece.fresh or last else None

    def _possible(self, written: float | None, piece: Piece, at: float) -> float | None:
        """Correct a time that cannot be, because another machine's clock is not ours; None where it says nothing."""
        if written is None or (written > at + SLACK and not piece.fresh):
            return None
        return min(max(written, self._looked_at if piece.fresh else -math.inf), at)


def _dated(entries: Sequence[Entry], piece: Piece) -> Stamp | None:
    """Give the stamp of a line of known age: the file's last, or the last stamped of those that are fresh."""
    candidates = reversed(entries) if piece.fresh else entries[-1:]
    stamps = (stamp(entry.text[:HEAD]) for entry in candidates if entry.at is None)
    return next((one for one in stamps if one is not None), None)


def _readings(latest: Latest) -> Iterator[Reading]:
    stats, pairs = latest.stats, labels(engine=latest.stats.engine)
    told = {
        catalog.RUNNING: stats.running,
        catalog.WAITING: stats.waiting,
        catalog.KV_USAGE: stats.usage,
        catalog.PROMPT_RATE: stats.prompt_rate,
        catalog.GENERATION_RATE: stats.output_rate,
    }
    yield from (Reading(metric, value, latest.at, pairs) for metric, value in told.items() if value is not None)
    if stats.hits is not None:
        window = labels(engine=stats.engine, window=stats.window)
        yield Reading(catalog.PREFIX_REPORTED, stats.hits, latest.at, window)


def _facts(run: Run, path: Path) -> tuple[Fact, ...]:
    """Give what the first lines said; of what the server itself tells elsewhere only what is known."""
    also = {catalog.VERSION: run.version, catalog.ENGINE: run.engine, catalog.KV_TOKENS: run.kv_tokens}
    own = {catalog.LOG_ARGUMENTS: run.arguments, catalog.LOG_CONCURRENCY: run.requests}
    return (
        *(Fact(name, str(value), str(path)) for name, value in also.items() if value is not None),
        *(
            Fact(name, str(value), str(path)) if value is not None else Fact(name, None, str(path), _UNREAD)
            for name, value in own.items()
        ),
    )
