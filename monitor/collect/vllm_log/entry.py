"""Lines of a log as their writer meant them: without what a container wraps around them, without colours."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from monitor.collect.follow import LONGEST

_STREAMS = ("stdout", "stderr")
# Kubernetes: time, stream, P (partial) or F (full), perhaps with more tags, and the line.
_CRI = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF])(?::\S+)? (.*)", re.DOTALL)
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that the server wrote; `at` is when (Unix seconds), where the container's runtime says so."""

    text: str
    at: float | None


@dataclass(frozen=True, slots=True)
class _Part:
    stream: str
    text: str
    at: float | None
    ends: bool


class Unwrapper:
    """Takes lines out of what Docker (json-file) and Kubernetes wrap them in, and joins those that they cut."""

    def __init__(self) -> None:
        self._torn: dict[str, str] = {}

    def entries(self, lines: Iterable[str]) -> Iterator[Entry]:
        """Give the lines that are complete; the beginning of another one is kept for the next call."""
        for line in lines:
            part = _docker(line) or _kubernetes(line)
            if part is None:
                yield Entry(plain(line), None)
                continue
            text = self._torn.pop(part.stream, "") + part.text
            if not part.ends:
                self._torn[part.stream] = text[: LONGEST + 1]
            elif len(text) <= LONGEST:
                yield Entry(plain(text), part.at)

    def forget(self) -> None:
        """Heed that lines are missing: what comes next does not continue what came before."""
        self._torn.clear()


def plain(line: str) -> str:
    """Drop colours, and what a progress bar overwrote."""
    text = _ESCAPE.sub("", line) if "\x1b" in line else line
    return text.rstrip("\r\n").rpartition("\r")[2]


def document(text: str) -> dict[str, object]:
    """Read a JSON object; an empty one where there is none. Its strings can be encoded."""
    if text[:1] != "{":
        return {}
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {key: _encodable(value) for key, value in read.items()}


def _encodable(value: object) -> object:
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _docker(line: str) -> _Part | None:
    read = document(line)
    text, stream, at = read.get("log"), read.get("stream"), read.get("time")
    if not isinstance(text, str) or stream not in _STREAMS:
        return None
    return _Part(str(stream), text, _moment(at) if isinstance(at, str) else None, text.endswith("\n"))


def _kubernetes(line: str) -> _Part | None:
    match = _CRI.fullmatch(line)
    return _Part(match[2], match[4], _moment(match[1]), match[3] == "F") if match else None


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None
