"""What a log told of one run of its server: how it was started, and each engine's latest line of statistics."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from monitor.collect.vllm_log.arguments import arguments
from monitor.collect.vllm_log.line import Line
from monitor.collect.vllm_log.stats import Stats, stats, v0_hits

SHORTEST, LONGEST = 10.0, 60.0
"""Seconds between two lines of statistics: what vLLM takes if it is not told otherwise, and the most we believe in."""
PATIENCE = 3
"""Intervals after which a line is no reading any more: idle servers stop logging."""
_GAPS = 3
KEYWORDS = ("Running: ", "Prefix cache hit", "LLM engine", "args: ", "KV cache size", "Maximum conc", "version ")
"""One of these is in each line that is understood."""

_VERSION = r"v?([\w.+-]{1,60})"
_API = re.compile(rf"(?:vLLM API server|[ █▄▀]{{0,80}}█[ █▄▀]{{0,80}}) version +{_VERSION}\s*")
_ENGINE = re.compile(rf"Initializing an? (?:(V\d) )?LLM engine \({_VERSION}\) with config\b.*", re.DOTALL)
_ARGUMENTS = re.compile(r"(?:non-default )?args: (\{.*|Namespace\(.*)", re.DOTALL)
_CONCURRENCY = r"Maximum concurrency for [\d,]{1,20} tokens per request: (\d{1,12}(?:\.\d{1,6})?)x"
_SIZE = re.compile(rf"(?:\w+ )?KV cache size: (\d[\d,]{{0,18}}) tokens(?:, {_CONCURRENCY})?\s*")
_REQUESTS = re.compile(rf"{_CONCURRENCY}\s*")
_BY_FILE = {"llm_engine.py": "V0", "core.py": "V1"}
"""Which engine it is where the line does not say so."""


@dataclass(frozen=True, slots=True)
class Latest:
    """An engine's latest line of statistics, when it was written (Unix seconds), and the last gaps between lines."""

    stats: Stats
    at: float
    gaps: tuple[float, ...] = ()

    @property
    def until(self) -> float:
        """The moment from which it says nothing any more."""
        interval = min(self.gaps) if len(self.gaps) > 1 else SHORTEST
        return self.at + PATIENCE * min(max(interval, SHORTEST), LONGEST)


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of one run; None is "not read". `works` says that its engine began, so that it is no new one."""

    version: str | None = None
    engine: str | None = None
    arguments: str | None = None
    kv_tokens: int | None = None
    requests: float | None = None
    latest: Mapping[str, Latest] = field(default_factory=dict)
    works: bool = False

    def heard(self, line: Line, at: float | None) -> "Run":
        """Take a line in, written at a moment (Unix seconds; None if nobody knows)."""
        if (found := stats(line)) is not None:
            return self._counted(found, at)
        if (hits := v0_hits(line)) is not None:
            return self._hit(hits)
        return next((run for text in line.texts if (run := self._started(text, line.file)) is not None), self)

    def _counted(self, found: Stats, at: float | None) -> "Run":
        run = replace(self, engine=self.engine or found.generation, works=True)
        if at is None:
            return run
        before = self.latest.get(found.engine)
        gap = at - before.at if before else 0.0
        gaps = (*before.gaps, gap)[-_GAPS:] if before and gap >= 1 else before.gaps if before else ()
        return replace(run, latest={**self.latest, found.engine: Latest(found, at, gaps)})

    def _hit(self, ratio: float) -> "Run":
        """Add V0's second line to its first."""
        first = self.latest.get("0")
        if first is None:
            return self
        whole = replace(first, stats=replace(first.stats, hits=ratio, window="lifetime"))
        return replace(self, latest={**self.latest, "0": whole})

    def _started(self, text: str, file: str) -> "Run | None":
        """Take in what is said at a start; None if this is nothing of that."""
        if match := _API.fullmatch(text):
            return replace(self._next(), version=match[1])
        if match := _ARGUMENTS.fullmatch(text):
            return replace(self._next(), arguments=arguments(match[1]))
        if match := _ENGINE.fullmatch(text):
            return replace(self, version=match[2], engine=match[1] or _BY_FILE.get(file, self.engine), works=True)
        if match := _SIZE.fullmatch(text):
            tokens = int(match[1].replace(",", ""))  # each rank says it, and the least counts
            return replace(self, kv_tokens=min(self.kv_tokens or tokens, tokens), requests=self._fit(match[2]))
        match = _REQUESTS.fullmatch(text)
        return replace(self, requests=self._fit(match[1])) if match else None

    def _fit(self, told: str | None) -> float | None:
        return self.requests if told is None else min(self.requests or math.inf, float(told))

    def _next(self) -> "Run":
        """Give the run that the API server's first lines belong to."""
        return Run() if self.works else self
