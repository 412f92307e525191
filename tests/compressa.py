"""Databases of compressa-perf, made by its own statements (0.2.8), with what a test wants in them."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field

SCHEMA = """
CREATE TABLE Experiments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment_name TEXT NOT NULL,
    experiment_date DATETIME DEFAULT CURRENT_TIMESTAMP,
    description TEXT
);
CREATE TABLE Parameters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    FOREIGN KEY (experiment_id) REFERENCES Experiments(id)
);
CREATE TABLE Metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment_id INTEGER NOT NULL,
    metric_name TEXT NOT NULL,
    metric_value REAL NOT NULL,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (experiment_id) REFERENCES Experiments(id)
);
CREATE TABLE Measurements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    experiment_id INTEGER NOT NULL,
    n_input INTEGER NOT NULL,
    n_output INTEGER NOT NULL,
    ttft REAL NOT NULL,
    start_time REAL NOT NULL,
    end_time REAL NOT NULL,
    status TEXT NOT NULL,
    FOREIGN KEY (experiment_id) REFERENCES Experiments(id)
);
"""
TOLD = {"model_name": "QwQ-32B", "openai_url": "http://node:5000/v1/", "num_workers": "10"}


@dataclass(frozen=True)
class Experiment:
    """One experiment; `requests` are input and output tokens, TTFT, start, end and status."""

    name: str
    metrics: Mapping[str, object] = field(default_factory=dict)
    requests: Iterable[tuple[object, ...]] = ()
    parameters: Mapping[str, object] = field(default_factory=lambda: TOLD)
    date: object = "2025-05-12 10:00:00"


def database(*experiments: Experiment, schema: str = SCHEMA) -> bytes:
    """Give a database file's content."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.executescript(schema)
        for key, one in enumerate(experiments, 1):
            made.execute("INSERT INTO Experiments VALUES (?, ?, ?, NULL)", (key, one.name, one.date))
            for name, value in one.parameters.items():
                made.execute("INSERT INTO Parameters VALUES (NULL, ?, ?, ?)", (key, name, value))
            for name, value in one.metrics.items():
                made.execute(
                    "INSERT INTO Metrics (experiment_id, metric_name, metric_value) VALUES (?, ?, ?)",
                    (key, name, value),
                )
            for request in one.requests:
                made.execute("INSERT INTO Measurements VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", (key, *request))
        made.commit()
        return made.serialize()


def gonka(tp: int) -> bytes:
    """Give one column of the benchmark in Gonka's guide: 8 cards, TP 8 PP 1 or TP 4 PP 2. It has only averages."""
    names = ("TTFT", "THROUGHPUT_INPUT_TOKENS", "THROUGHPUT_OUTPUT_TOKENS", "LATENCY")
    short, long = _GONKA[tp]
    return database(
        Experiment("~1000 in / ~300 out", dict(zip(names, short, strict=True))),
        Experiment("~23000 in / ~1000 out", dict(zip(names, long, strict=True))),
    )


_GONKA = {
    8: ((6.2342, 497.8204, 143.3828, 20.9172), (57.7112, 840.3887, 35.7324, 271.9932)),
    4: ((4.7595, 500.2883, 144.0936, 20.8093), (28.6839, 1017.6811, 43.3700, 223.6245)),
}
