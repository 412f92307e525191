"""Results of `vllm bench serve`: what --save-result writes, best with --save-detailed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from monitor.importers.reading import Count, FileError, Many, Part, Text, checked, documents
from monitor.importers.run import UNKNOWN, Meaning, Run, baselines, sample
from monitor.model import Baseline, Series

TOOL = "vllm bench serve"
SIGNS = frozenset({"model_id", "request_throughput", "output_throughput"})
"""Fields by which a result is known."""

RATES = {
    "request_throughput": Meaning("requests / duration", "request_throughput"),
    "input_throughput": Meaning("prompt tokens / duration", "total_input_tokens, duration"),
    "output_throughput": Meaning("output tokens / duration", "output_throughput"),
}
EXACT = {
    "ttft": Meaning("from before the request, connecting included, to the first chunk with a token", "ttfts"),
    "tpot": Meaning("(last chunk with a token - first) / (output tokens - 1)", "itls, output_lens"),
    "itl_max": Meaning("longest gap between chunks with tokens", "itls"),
    "e2e": Meaning("from before the request, connecting included, to the last chunk with a token", "ttfts, itls"),
}
SUMMARY = {
    "ttft": Meaning(f"{EXACT['ttft'].text}; only the median is known", "median_ttft_ms"),
    "tpot": Meaning(
        f"{EXACT['tpot'].text}, before vLLM 0.30 the chunk with usage being the last; only the median is known",
        "median_tpot_ms",
    ),
    "itl_max": Meaning("all requests' gaps are pooled: run it with --save-detailed", "median_itl_ms", refused=True),
    "e2e": Meaning(f"{EXACT['e2e'].text}, before vLLM 0.30 to the chunk with usage", "latencies or median_e2el_ms"),
}
ROLE = "the chunk that names the role may count as the first token, as before vLLM 0.33: run it with --save-detailed"
CHUNKS = "chunks hold several tokens, so that nothing tells whether the one that names the role counted as the first"


class Result(Part):
    """What is read of one result; lists have one entry per request, in the order in which they were sent."""

    date: Text
    backend: Text
    model_id: Text
    request_rate: float | Literal["inf"]
    max_concurrency: Count | None = None
    duration: float = Field(gt=0)
    completed: Count
    total_input_tokens: Count
    total_output_tokens: Count
    request_throughput: float
    output_throughput: float
    median_ttft_ms: float | None = None
    median_tpot_ms: float | None = None
    median_e2el_ms: float | None = None
    ttfts: Many[float] = Field(default_factory=list)
    itls: Many[Many[float]] = Field(default_factory=list)
    output_lens: Many[Count] = Field(default_factory=list)
    start_times: Many[float] = Field(default_factory=list)
    latencies: Many[float] = Field(default_factory=list)

    @property
    def ended(self) -> float:
        """When it ended, in Unix seconds: the file has local time and no zone, which is taken for UTC."""
        try:
            return datetime.strptime(self.date, "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise FileError(f"not a result of {TOOL}: date: {self.date!r} is no time") from None

    @property
    def stratum(self) -> str:
        """Name shape and load, which must be equal for two results to be comparable."""
        shape = (round(tokens / self.completed) for tokens in (self.total_input_tokens, self.total_output_tokens))
        limit = "" if self.max_concurrency is None else f" concurrency {self.max_concurrency}"
        rate = self.request_rate if isinstance(self.request_rate, str) else f"{self.request_rate:g}"
        return "vllm-bench@{} in {} out {} rate {}{}".format(self.backend, *shape, rate, limit)

    def times(self, count: int) -> list[float]:
        """Give when each request was sent; evenly spread where the file does not say."""
        starts = self.start_times
        if len(starts) != count:
            starts = [self.duration * number / count for number in range(count)]
        return [self.ended - self.duration + start - min(starts) for start in starts]


@dataclass(frozen=True, slots=True)
class Request:
    """One request that succeeded: when it was sent, TTFT, the gaps between chunks, and output tokens."""

    at: float
    ttft: float
    gaps: tuple[float, ...]
    tokens: int


def read(data: bytes, name: str, model: str | None) -> list[Baseline]:
    """Read one result, or several that --append-result put into one file; raises FileError if it is none."""
    results = [checked(Result, one, f"a result of {TOOL}") for one in documents(data)]
    return baselines((_run(one) for one in results if one.completed), name, model, TOOL, None)


def _run(result: Result) -> Run:
    latencies, meanings = _latencies(result)
    figures = (
        ("request_throughput", result.request_throughput),
        ("input_throughput", result.total_input_tokens / result.duration),
        ("output_throughput", result.output_throughput),
    )
    rates = [one for metric, rate in figures for one in sample(metric, result.stratum, [(result.ended, rate)])]
    return Run(result.model_id, UNKNOWN, result.ended, (*latencies, *rates), {**meanings, **RATES})


def _latencies(result: Result) -> tuple[tuple[Series, ...], dict[str, Meaning]]:
    requests, chat = _requests(result), "chat" in result.backend
    if not requests:
        kept = _summary(result, {"e2e"} if chat else {"ttft", "tpot", "e2e"})
        unsure = {metric: replace(SUMMARY[metric], text=ROLE, refused=True) for metric in ("ttft", "tpot") if chat}
        return kept, SUMMARY | unsure
    if not chat:
        return _exact(result.stratum, requests), EXACT
    tokens = _without_role(requests)
    if tokens is None:
        unsure = {metric: replace(EXACT[metric], text=CHUNKS, refused=True) for metric in ("ttft", "tpot", "itl_max")}
        return _e2e(result.stratum, requests), EXACT | unsure
    return _exact(result.stratum, tokens), EXACT


def _requests(result: Result) -> list[Request]:
    """Give the requests that succeeded; none where the file holds only a summary."""
    if len({len(result.ttfts), len(result.itls), len(result.output_lens)}) > 1:
        raise FileError(f"not a result of {TOOL}: its lists differ in length")
    rows = zip(result.times(len(result.ttfts)), result.ttfts, result.itls, result.output_lens, strict=True)
    return [Request(at, ttft, tuple(gaps), tokens) for at, ttft, gaps, tokens in rows if ttft > 0 and tokens > 0]


def _without_role(requests: list[Request]) -> list[Request] | None:
    """Leave out a chat's first chunk where it only names the role: then there is one more chunk than tokens.

    None where nothing tells: chunks may hold several tokens.
    """
    surplus = [len(one.gaps) + 1 - one.tokens for one in requests]
    if max(surplus, default=0) == 1:
        return [replace(one, ttft=one.ttft + one.gaps[0], gaps=one.gaps[1:]) for one in requests if one.gaps]
    return requests if max(surplus, default=0) == 0 and 2 * surplus.count(0) > len(surplus) else None


def _exact(stratum: str, requests: Iterable[Request]) -> tuple[Series, ...]:
    several = [one for one in requests if one.tokens > 1]
    return (
        *sample("ttft", stratum, ((one.at, one.ttft) for one in requests)),
        *sample("tpot", stratum, ((one.at, sum(one.gaps) / (one.tokens - 1)) for one in several)),
        *sample("itl_max", stratum, ((one.at, max(one.gaps, default=None)) for one in requests)),
        *_e2e(stratum, requests),
    )


def _e2e(stratum: str, requests: Iterable[Request]) -> tuple[Series, ...]:
    return sample("e2e", stratum, ((one.at, one.ttft + sum(one.gaps)) for one in requests))


def _summary(result: Result, metrics: set[str]) -> tuple[Series, ...]:
    """Give the medians of a summary; since vLLM 0.32 it has E2E of each request."""
    at, medians = result.ended, {"ttft": result.median_ttft_ms, "tpot": result.median_tpot_ms}
    rows: dict[str, list[tuple[float, float | None]]] = {
        metric: [(at, None if value is None else value / 1e3)] for metric, value in medians.items()
    }
    e2e = result.median_e2el_ms
    rows["e2e"] = [(at, None if e2e is None else e2e / 1e3)]
    if result.latencies:
        rows["e2e"] = list(zip(result.times(len(result.latencies)), result.latencies, strict=True))
    return tuple(one for metric in sorted(metrics) for one in sample(metric, result.stratum, rows[metric]))
