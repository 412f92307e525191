"""Reports of GuideLLM, as it writes them since 0.4: benchmarks.json.

What it calls TPOT counts the first token; ours is its inter_token_latency_ms of each request. Over all requests it
weighs that by tokens, so that nothing can be made of it where a report was saved without requests.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from monitor.importers.reading import Count, FileError, Many, Part, Text, checked, documents
from monitor.importers.run import Meaning, Run, baselines, endpoint, sample
from monitor.model import Baseline, Series

TOOL = "GuideLLM"
WITHOUT = "the report was saved without requests: run it with all of them kept (no sample_size)"

RATES = {
    "request_throughput": Meaning("requests / time, mean", "requests_per_second"),
    "input_throughput": Meaning("prompt tokens / time, mean", "prompt_tokens_per_second"),
    "output_throughput": Meaning("output tokens / time, mean", "output_tokens_per_second"),
}
LATENCIES = {
    "ttft": Meaning("from the request being sent to the first line with a token, wall clock", "time_to_first_token_ms"),
    "tpot": Meaning(
        "(last line with a token - first) / (output tokens - 1); not its time_per_output_token_ms, which counts the "
        "first token, too",
        "inter_token_latency_ms",
    ),
    "e2e": Meaning(
        "from the request being sent to the last line with a token, wall clock; not its request_latency, which ends "
        "with the stream",
        "time_to_first_token_ms, inter_token_latency_ms, output_tokens",
    ),
}


class Summary(Part):
    """A distribution, as far as it is read."""

    mean: float | None = None
    median: float | None = None


class ByStatus(Part):
    """Distributions by how requests ended."""

    successful: Summary = Summary()


class Metrics(Part):
    """Figures over all requests."""

    time_to_first_token_ms: ByStatus = ByStatus()
    requests_per_second: ByStatus = ByStatus()
    prompt_tokens_per_second: ByStatus = ByStatus()
    output_tokens_per_second: ByStatus = ByStatus()
    prompt_token_count: ByStatus = ByStatus()
    output_token_count: ByStatus = ByStatus()


class Request(Part):
    """One request."""

    request_start_time: float
    output_tokens: Count | None = None
    time_to_first_token_ms: float | None = None
    inter_token_latency_ms: float | None = None

    @property
    def ttft(self) -> float | None:
        """Seconds to the first token."""
        return _seconds(self.time_to_first_token_ms)

    @property
    def tpot(self) -> float | None:
        """Seconds per token after the first."""
        return _seconds(self.inter_token_latency_ms)

    @property
    def e2e(self) -> float | None:
        """Seconds to the last token: TTFT, and what the other tokens took."""
        later = 0.0 if self.output_tokens == 1 else self.tpot
        if self.ttft is None or later is None or not self.output_tokens:
            return None
        return self.ttft + later * (self.output_tokens - 1)


class Requests(Part):
    """Requests by how they ended."""

    successful: Many[Request] = Field(default_factory=list)


class Strategy(Part):
    """How load was made."""

    type_: Text
    streams: Count | None = None
    rate: float | None = None


class Backend(Part):
    """Whom it asked; its key is not read."""

    target: Text | None = None
    model: Text | None = None


class Config(Part):
    """What one benchmark was told to do."""

    strategy: Strategy
    backend: Backend = Backend()


class Benchmark(Part):
    """One benchmark of a report: one load."""

    config: Config
    end_time: float
    metrics: Metrics
    requests: Requests = Requests()

    @property
    def stratum(self) -> str:
        """Name shape and load, which must be equal for two benchmarks to be comparable."""
        tokens = (self.metrics.prompt_token_count, self.metrics.output_token_count)
        shape = (round(one.successful.mean or 0) for one in tokens)
        strategy = self.config.strategy
        load = [f"{value:g}" for value in (strategy.streams, strategy.rate) if value is not None]
        return " ".join([f"guidellm@{strategy.type_}", *load, "in {} out {}".format(*shape)])


class Metadata(Part):
    """Who wrote a report."""

    guidellm_version: Text | None = None


class Report(Part):
    """What is read of a report."""

    metadata: Metadata = Metadata()
    benchmarks: Annotated[list[Benchmark], Field(min_length=1)]


def read(data: bytes, name: str, model: str | None) -> list[Baseline]:
    """Read a report, of which each benchmark is a stratum; raises FileError if it is none."""
    found = documents(data)
    if len(found) != 1:
        raise FileError(f"not a report of {TOOL}: {len(found)} documents in one file")
    report = checked(Report, found[0], f"a report of {TOOL} since 0.4")
    return baselines(map(_run, report.benchmarks), name, model, TOOL, report.metadata.guidellm_version)


def _run(benchmark: Benchmark) -> Run:
    backend, requests = benchmark.config.backend, benchmark.requests.successful
    latencies = _latencies(benchmark.stratum, requests) if requests else _summary(benchmark)
    series = (*latencies, *_rates(benchmark))
    unsure = {metric: replace(LATENCIES[metric], text=WITHOUT, refused=True) for metric in ("tpot", "e2e")}
    meanings = LATENCIES | RATES | ({} if requests else unsure)
    return Run(backend.model or "", endpoint(backend.target), benchmark.end_time, series, meanings)


def _latencies(stratum: str, requests: list[Request]) -> Iterator[Series]:
    for metric in LATENCIES:
        yield from sample(metric, stratum, ((one.request_start_time, getattr(one, metric)) for one in requests))


def _summary(benchmark: Benchmark) -> tuple[Series, ...]:
    ttft = _seconds(benchmark.metrics.time_to_first_token_ms.successful.median)
    return sample("ttft", benchmark.stratum, [(benchmark.end_time, ttft)])


def _rates(benchmark: Benchmark) -> Iterator[Series]:
    for metric, meaning in RATES.items():
        rate = getattr(benchmark.metrics, meaning.field).successful.mean
        yield from sample(metric, benchmark.stratum, [(benchmark.end_time, rate)])


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1e3
