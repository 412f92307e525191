"""A recorded series as CSV: one row per probe, with the names of its columns in the first line."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from math import inf, isfinite

from monitor.importers.reading import FileError
from monitor.model import Event, Load, Probe

LATENCIES = ("ttft_seconds", "tpot_seconds", "e2e_seconds")
LOAD = ("requests_running", "requests_waiting")
NEEDED = ("at", "profile", *LATENCIES, *LOAD)
EVENT = "event"
BESIDE = ("version", "kv_usage_ratio", "cold_ttft_seconds", "itl_max_seconds", "started_at")
"""Columns that may be there: what else tells probes apart, the other profiles' figures, when the server started."""
END_OF_TIME = 253_402_300_800.0
"""The year 10000: later times are milliseconds."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file holds: probes in time order, and what happened meanwhile."""

    probes: tuple[Probe, ...]
    events: tuple[Event, ...]


def read(lines: Iterable[str]) -> Recording:
    """Read a series; an empty cell is an absent value, a row without latencies only tells its event.

    Raises FileError, which names the columns that are missing, or the line that is wrong.
    """
    rows = csv.DictReader(lines)
    try:
        missing = [name for name in NEEDED if name not in (rows.fieldnames or ())]
        if missing:
            raise FileError(f"its first line does not name: {', '.join(missing)}")
        return _recording(rows)
    except csv.Error as error:
        raise FileError(f"line {rows.reader.line_num}: {error}") from None
    except UnicodeDecodeError:
        raise FileError("not a text file") from None
    except _CellError as error:
        raise FileError(f"line {rows.reader.line_num}: {error}") from None


def write(probes: Iterable[Probe]) -> str:
    """Give probes as such a file, of which `read` makes probes that are judged alike."""
    text = StringIO()
    sheet = csv.DictWriter(text, [*NEEDED, *BESIDE], lineterminator="\n")
    sheet.writeheader()
    sheet.writerows(_row(probe) for probe in probes)
    return text.getvalue()


class _CellError(Exception):
    pass


def _recording(rows: "csv.DictReader[str]") -> Recording:
    probes: list[Probe] = []
    events: list[Event] = []
    last = 0.0
    for row in rows:
        at = _number(row, "at", END_OF_TIME)
        if at is None:
            raise _CellError("at is empty")
        if at < last:
            raise _CellError(f"at goes back, from {last:.15g} to {at:.15g}: sort the rows by time")
        last = at
        if row.get(EVENT):
            events.append(Event("annotation", at, at, row[EVENT]))
        probe = _probe(row, at)
        if probe is not None:
            probes.append(probe)
    return Recording(tuple(probes), tuple(events))


def _probe(row: Mapping[str, str | None], at: float) -> Probe | None:
    ttft, tpot, e2e = (_latency(row, name) for name in LATENCIES)
    gap, cold = _latency(row, "itl_max_seconds"), _latency(row, "cold_ttft_seconds")
    load, started = _load(row), _number(row, "started_at", END_OF_TIME)
    if ttft is tpot is e2e is gap is None:
        return None
    if not row["profile"]:
        raise _CellError("profile is empty")
    itls = () if gap is None else (gap,)
    return Probe(
        at, row["profile"], row.get("version") or "1", "ok",
        ttft=ttft, tpot=tpot, e2e=e2e, itls=itls, cold_ttft=cold, before=load, after=load, started=started,
    )  # fmt: skip


def _load(row: Mapping[str, str | None]) -> Load | None:
    running, waiting = (_number(row, name) for name in LOAD)
    kv_usage = _number(row, "kv_usage_ratio")
    return None if running is None or waiting is None else Load(running, waiting, kv_usage)


def _latency(row: Mapping[str, str | None], name: str) -> float | None:
    value = _number(row, name)
    if value == 0:
        raise _CellError(f"{name} is 0: leave the cell empty where nothing was measured")
    return value


def _number(row: Mapping[str, str | None], name: str, end: float = inf) -> float | None:
    text = (row.get(name) or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise _CellError(f"{name} is {text[:40]!r}, which is no number") from None
    if not isfinite(value) or value < 0:
        raise _CellError(f"{name} is {text[:40]!r}, but must be finite and not below 0")
    if value >= end:
        raise _CellError(f"{name} is {text[:40]!r}, but must be in seconds since 1970, not milliseconds")
    return value


def _row(probe: Probe) -> dict[str, object]:
    load = probe.before
    return {
        "at": probe.at,
        "profile": probe.profile,
        "ttft_seconds": probe.ttft,
        "tpot_seconds": probe.tpot,
        "e2e_seconds": probe.e2e,
        "requests_running": load and load.running,
        "requests_waiting": load and load.waiting,
        "version": probe.version,
        "kv_usage_ratio": load and load.kv_usage,
        "cold_ttft_seconds": probe.cold_ttft,
        "itl_max_seconds": probe.itl_max,
        "started_at": probe.started,
    }
