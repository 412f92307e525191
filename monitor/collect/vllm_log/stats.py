"""The line of statistics that vLLM logs every few seconds, in every form it has had since 0.6."""

import re
from dataclasses import dataclass

from monitor.collect.vllm_log.line import Line

ALL = "all"
"""Stands for the engine where a line speaks of all of them together."""
LIFETIME = "lifetime"
LAST_REQUESTS = "last_1000_requests"
INTERVAL = "interval"
UNKNOWN = "unknown"
"""Over what a prefix cache hit rate is: 0.7.3 itself took the interval, Sophgo's 0.7.3 the last requests."""

_RATE = r"(?P<{}>[\w.+-]{{1,20}}) (?:tokens|toks)/s, "
_STATS = re.compile(
    r"(?:Engine (?P<engine>\d{1,6}): |(?P<engines>\d{1,6}) Engines Aggregated: )?"
    r"(?:Avg prompt (?:throughput|tput): " + _RATE.format("prompt") + r"Avg generation (?:throughput|tput): "
    + _RATE.format("generation") + r")?"
    r"(?P<rust>Reqs )?Running: (?P<running>\d{1,9})(?: reqs)?, "
    # To the end of the line without a quote: no prompt that somebody had logged looks like that.
    r"(?P<rest>[^'\"{}\[\]]{0,2000})"
)  # fmt: skip
_NUMBER = r"\d{1,15}(?:\.\d{1,6})?"
_WAITING = re.compile(r"(?:^|, )(?:Waiting|Pending): (\d{1,9})(?: reqs|(?=,))")
_USAGE = re.compile(rf"\b\w+ KV cache us(?:ed|age): ({_NUMBER})%(?![\w%])")  # the first: V0 adds the swap space's
_HITS = re.compile(rf"(?:^|, )Prefix cache hit rate: ({_NUMBER})%(?![\w%])")
_V0_HITS = re.compile(rf"Prefix cache hit rate: GPU: (-?{_NUMBER})%, CPU: -?{_NUMBER}%\s*")


@dataclass(frozen=True, slots=True)
class Stats:
    """What one line says of an engine: requests, tokens per second, ratios 0..1; None is "not told"."""

    engine: str
    generation: str
    running: float
    waiting: float
    prompt_rate: float | None = None
    output_rate: float | None = None
    usage: float | None = None
    hits: float | None = None
    window: str = UNKNOWN


def stats(line: Line) -> Stats | None:
    """Read a line of statistics; None if it is none, or not a whole one."""
    return next((found for text in line.texts if (found := _stats(text, line)) is not None), None)


def v0_hits(line: Line) -> float | None:
    """Read V0's second line, the hit rate since its start; None if it is none, or the cache is off."""
    found = (_V0_HITS.fullmatch(text) for text in line.texts)
    return next((_ratio(match[1]) for match in found if match), None)


def _stats(text: str, line: Line) -> Stats | None:
    match = _STATS.fullmatch(text)
    waiting = _WAITING.search(match["rest"]) if match else None
    if match is None or waiting is None:
        return None
    rest, rust, named = match["rest"], match["rust"] is not None, match["engine"] or match["engines"]
    usage, hits = _USAGE.search(rest), _HITS.search(rest)
    return Stats(
        engine=ALL if rust or match["engines"] else str(int(match["engine"] or "0")),
        generation="V0" if "Swapped: " in rest else "V1",
        running=float(match["running"]),
        waiting=float(waiting[1]),
        prompt_rate=_number(match["prompt"]),
        output_rate=_number(match["generation"]),
        usage=_ratio(usage[1]) if usage else None,
        hits=_ratio(hits[1]) if hits else None,
        window=INTERVAL if rust else LAST_REQUESTS if named or not line.old else UNKNOWN,
    )


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(_NUMBER, text) else None


def _ratio(percent: str) -> float | None:
    ratio = float(percent) / 100
    return ratio if 0 <= ratio <= 1 else None
