"""Our own baseline file: a reviewable JSON document that can live in git."""

import json
import math
from dataclasses import asdict
from typing import Any

from monitor.importers.reading import FileError
from monitor.model import Answer, Baseline, Context, Fact, Series

FORMAT = "vllm-monitor baseline"
VERSION = 1
LARGEST_WORD = 0xFFFF
"""Digests of words have 16 bits."""


def write(baseline: Baseline) -> str:
    """Give a baseline as JSON, equal for equal baselines."""
    document = {"format": FORMAT, "version": VERSION, **asdict(baseline)}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def read(text: str) -> Baseline:
    """Read a baseline back; raises FileError if it is none, or from a newer monitor."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise FileError(f"not JSON: {error}") from None
    except RecursionError:
        raise FileError("not JSON: nested too deeply") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FileError(f'not a baseline: "format" is not {FORMAT!r}; make one with monitor baseline export')
    if document.get("version") != VERSION:
        raise FileError(f"version {document.get('version')} is not known here; this monitor reads version {VERSION}")
    try:
        return _baseline(document)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileError(f"damaged: {type(error).__name__}: {error}") from None


def _baseline(document: dict[str, Any]) -> Baseline:
    context = document["context"]
    series = tuple(_series(one) for one in document["series"])
    if not series:
        raise ValueError("it has no values")
    return Baseline(
        name=_text(document["name"]),
        context=Context(_text(context["model"]), _text(context["endpoint"])),
        captured_at=_time(document["captured_at"]),
        series=series,
        facts=tuple(_fact(one) for one in document["facts"]),
        provisional=document.get("provisional") is True,
        answers=tuple(_answer(one) for one in document.get("answers", ())),
    )


def _series(document: dict[str, Any]) -> Series:
    times, values = tuple(map(_time, document["times"])), tuple(map(float, document["values"]))
    if len(times) != len(values) or not values:
        raise ValueError("a series needs as many times as values, and at least one")
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError("a latency is not a positive number")
    places = tuple(_place(one) for one in document.get("places", ()))
    if places and len(places) != len(values):
        raise ValueError("a series needs as many places as values, or none")
    return Series(_text(document["metric"]), _text(document["stratum"]), times, values, places)


def _place(document: Any) -> tuple[float, float]:  # noqa: ANN401 - JSON
    running, kv_usage = map(float, document)
    if not (math.isfinite(running) and math.isfinite(kv_usage)):
        raise ValueError("a place is not two numbers")
    return running, kv_usage


def _fact(document: dict[str, Any]) -> Fact:
    value = document["value"]
    return Fact(
        name=_text(document["name"]),
        value=None if value is None else _any_text(value),
        path=_any_text(document["path"]),
        why=_any_text(document["why"]),
    )


def _answer(document: dict[str, Any]) -> Answer:
    words = document["words"]
    if not isinstance(words, list) or not all(type(word) is int and 0 <= word <= LARGEST_WORD for word in words):
        raise ValueError("an answer's words are not digests")
    return Answer(
        profile=_text(document["profile"]),
        version=_text(document["version"]),
        digest=_any_text(document["digest"]),
        words=tuple(words),
        fault=_any_text(document["fault"]),
    )


def _time(value: Any) -> float:  # noqa: ANN401 - whatever the file holds
    at = float(value)
    if not math.isfinite(at):
        raise ValueError(f"{at} is not a time")
    return at


def _text(value: object) -> str:
    if not value:
        raise ValueError(f"{value!r} is not a text")
    return _any_text(value)


def _any_text(value: object) -> str:
    # A lone surrogate is no text that could be stored or printed.
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"{value!r} is not a text")
    return value
