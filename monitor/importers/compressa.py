"""The database of compressa-perf: SQLite, one row per request, or only the averages of each experiment.

Its clock is the wall's, and its latency ends with the stream, after usage; that is kept under a name of its own. What
it calls TPOT is latency / output tokens, which counts the first token.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

from monitor.importers.reading import Count, FileError, Many, Part, Text, checked
from monitor.importers.run import Meaning, Run, baselines, endpoint, sample
from monitor.model import Baseline, Series

TOOL = "compressa-perf"
MAGIC = b"SQLite format 3\0"
"""What an SQLite file begins with."""

MEANINGS = {
    "ttft": Meaning("from before the request, connecting included, to the first chunk with text, wall clock", "ttft"),
    "tpot": Meaning(
        "its TPOT counts the first token, and nothing tells when the last one came: take it from vllm bench serve",
        "TPOT",
        refused=True,
    ),
    "e2e": Meaning(
        "it does not tell when the last token came: E2E stream ends with the stream", "end_time", refused=True
    ),
    "e2e_stream": Meaning(
        "from before the request, connecting included, to the end of the stream, wall clock", "start_time, end_time"
    ),
    "request_throughput": Meaning("requests that succeeded / (last end - first start)", "RPS"),
    "input_throughput": Meaning("their prompt tokens / (last end - first start)", "THROUGHPUT_INPUT_TOKENS"),
    "output_throughput": Meaning("their output tokens / (last end - first start)", "THROUGHPUT_OUTPUT_TOKENS"),
}
AVERAGES = {
    "ttft": "TTFT",
    "e2e_stream": "LATENCY",
    "request_throughput": "RPS",
    "input_throughput": "THROUGHPUT_INPUT_TOKENS",
    "output_throughput": "THROUGHPUT_OUTPUT_TOKENS",
}
"""Where the averages of an experiment are: names in the table Metrics."""


_EXPERIMENTS = "SELECT id, experiment_name, experiment_date FROM Experiments ORDER BY id"
_PARAMETERS = "SELECT key, value FROM Parameters WHERE experiment_id = ? ORDER BY id"
_METRICS = "SELECT metric_name, metric_value FROM Metrics WHERE experiment_id = ? ORDER BY id"
_MEASUREMENTS = """
SELECT n_input, n_output, ttft, start_time, end_time FROM Measurements
WHERE experiment_id = ? AND status = 'success' ORDER BY id
"""


class Parameters(Part):
    """What an experiment was told to do, and the tokens per request that it came to."""

    model_name: Text = ""
    openai_url: Text = ""
    num_workers: float | None = None
    avg_n_input: float | None = None
    avg_n_output: float | None = None


class Measurement(Part):
    """One request that succeeded, in Unix seconds."""

    n_input: Count
    n_output: Count
    ttft: float
    start_time: float
    end_time: float


class Experiment(Part):
    """One experiment: its parameters, the averages that were made of it, its requests."""

    name: Text
    date: Text
    parameters: Parameters
    averages: dict[str, float]
    measurements: Many[Measurement]

    @property
    def at(self) -> float:
        """When it was made, in Unix seconds; SQLite writes UTC."""
        try:
            return datetime.fromisoformat(self.date).replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise FileError(f"not a database of {TOOL}: {self.date!r} is no time") from None

    @property
    def stratum(self) -> str:
        """Name shape and load, which must be equal for two experiments to be comparable."""
        told = self.parameters
        shape = (("in", told.avg_n_input), ("out", told.avg_n_output), ("runners", told.num_workers))
        known = [f"{word} {round(value)}" for word, value in shape if value is not None]
        return " ".join([f"compressa@{self.name}", *known, *([] if self.measurements else ["mean"])])


def read(data: bytes, name: str, model: str | None) -> list[Baseline]:
    """Read a database, of which each experiment is a stratum; raises FileError if it is none."""
    try:
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(data)
            experiments = list(_experiments(database))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise FileError(f"not a database of {TOOL}: {error}") from None
    return baselines(map(_run, experiments), name, model, TOOL, None)


def _experiments(database: sqlite3.Connection) -> Iterator[Experiment]:
    columns = tuple(Measurement.model_fields)
    for key, name, date in database.execute(_EXPERIMENTS):
        found = {
            "name": name,
            "date": date,
            "parameters": dict(database.execute(_PARAMETERS, [key]).fetchall()),
            "averages": dict(database.execute(_METRICS, [key]).fetchall()),
            "measurements": [dict(zip(columns, row, strict=True)) for row in database.execute(_MEASUREMENTS, [key])],
        }
        yield checked(Experiment, found, f"a database of {TOOL}")


def _run(experiment: Experiment) -> Run:
    series = _measured(experiment) if experiment.measurements else _averaged(experiment)
    told = experiment.parameters
    return Run(told.model_name, endpoint(told.openai_url), experiment.at, tuple(series), MEANINGS)


def _measured(experiment: Experiment) -> Iterator[Series]:
    rows, stratum = experiment.measurements, experiment.stratum
    first, last = min(one.start_time for one in rows), max(one.end_time for one in rows)
    yield from sample("ttft", stratum, ((one.start_time, one.ttft) for one in rows))
    yield from sample("e2e_stream", stratum, ((one.start_time, one.end_time - one.start_time) for one in rows))
    sums = (len(rows), sum(one.n_input for one in rows), sum(one.n_output for one in rows))
    for metric, total in zip(("request_throughput", "input_throughput", "output_throughput"), sums, strict=True):
        yield from sample(metric, stratum, [(last, total / (last - first))] if last > first else [])


def _averaged(experiment: Experiment) -> Iterator[Series]:
    for metric, name in AVERAGES.items():
        yield from sample(metric, experiment.stratum, [(experiment.at, experiment.averages.get(name))])
