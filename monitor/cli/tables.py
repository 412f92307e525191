"""Tables that people read."""

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from monitor.capture import Benchmark, Latency, Medians

UNBOUNDED = 1000
"""Columns of what is no terminal: a pipe or a file must not cut names."""


def console() -> Console:
    """Give a console that prints names and errors as they are: brackets and colons in them mean nothing."""
    width = None if sys.stdout.isatty() else UNBOUNDED
    return Console(markup=False, highlight=False, emoji=False, width=width)


def benchmark_table(result: Benchmark) -> Table:
    """Lay a benchmark out as users of `vllm bench serve` know it."""
    table = Table(title="Serving benchmark result", title_justify="left", show_header=False, box=None)
    table.add_column()
    table.add_column(justify="right")
    for row in benchmark_rows(result):
        table.add_row(*row)
    return table


def benchmark_rows(result: Benchmark) -> list[tuple[str, str]]:
    """Give the benchmark's rows as text: what, and the figure with its unit in the name."""
    tokens = result.total_input_tokens + result.total_output_tokens
    return [
        ("Successful requests", str(result.completed)),
        ("Failed requests", str(result.failed)),
        ("Benchmark duration (s)", f"{result.duration:.2f}"),
        ("Total input tokens", str(result.total_input_tokens)),
        ("Total generated tokens", str(result.total_output_tokens)),
        ("Request throughput (req/s)", _rate(result.completed, result.duration)),
        ("Output token throughput (tok/s)", _rate(result.total_output_tokens, result.duration)),
        ("Total token throughput (tok/s)", _rate(tokens, result.duration)),
        *_latency_rows("TTFT", result.ttft),
        *_latency_rows("TPOT", result.tpot),
        *_latency_rows("ITL", result.itl),
    ]


def medians_table(rows: Iterable[Medians]) -> Table:
    """Lay out what each profile showed, in milliseconds."""
    table = Table(title="Medians of other profiles", title_justify="left", box=None)
    for head in ("profile", "ok", "failed", "TTFT ms", "TPOT ms", "ITL max ms", "cold TTFT ms", "warm / cold", ""):
        table.add_column(head, justify="left" if head in {"profile", ""} else "right")
    for row in rows:
        figures = [_ms(value) for value in (row.ttft, row.tpot, row.itl_max, row.cold_ttft)]
        ratio = "-" if row.warm_ratio is None else f"{row.warm_ratio:.2f}"
        table.add_row(row.profile, str(row.completed), str(row.failed), *figures, ratio, row.detail)
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value * 1e3:.2f}"


def _rate(count: int, duration: float) -> str:
    return f"{count / duration:.2f}" if duration > 0 else "-"


def _latency_rows(name: str, latency: Latency) -> list[tuple[str, str]]:
    figures = (("Mean", latency.mean), ("Median", latency.median), ("P99", latency.p99))
    return [(f"{which} {name} (ms)", f"{value:.2f}" if value is not None else "-") for which, value in figures]
