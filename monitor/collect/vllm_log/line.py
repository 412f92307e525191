"""A line of a server's log taken apart: when it was written, by which source file, and what it says."""

import re
from dataclasses import dataclass

from monitor.collect.vllm_log.clock import Stamp, stamp
from monitor.collect.vllm_log.entry import document

HEAD = 120
"""Characters in which the stamp of a line stands."""

_FILE = r"(?P<bracket>\[?)(?:[\w./<>-]*/)?(?P<file>[\w.<>-]+):\d+\]\s?"
# vLLM's own prefix, behind whatever the operator or journald put before it; in none of that there are quotes.
_PREFIX = re.compile(rf"[^'\"{{}}]{{0,200}}?\b(?:DEBUG|INFO|WARNING)\s+(?:[\d-]{{5,10}} [\d:]{{8}}\s+)?{_FILE}")
_PROCESS = re.compile(r"\([\w .=:-]{1,80} pid=\d+\)\s*")
# Where a message may begin in a format that somebody configured.
_BEGINS = re.compile(r"^|\s-\s+|[\])]:?\s+|\|\s+|\b(?:DEBUG|INFO):(?:[\w.]+:)?\s*|\b(?:DEBUG|INFO)\s+[\w:]+:\s+")


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says: `texts` are where its message may begin, which is one where the format is known.

    `old` says that it has no brackets around its source file, as before 0.8, or no source file at all.
    """

    texts: tuple[str, ...]
    stamp: Stamp | None
    file: str = ""
    old: bool = True


def read(text: str) -> Line:
    """Take a line apart."""
    told = document(_PROCESS.sub("", text[:HEAD], count=1) + text[HEAD:] if text[:1] == "(" else text)
    message = told.get("message")
    if isinstance(message, str):  # one JSON object per line: --logging-config.formatter json
        return Line((message,), stamp(str(told.get("asctime", ""))[:HEAD]), str(told.get("filename", "")))
    known = _PREFIX.match(text)
    if known:
        return Line((text[known.end() :],), stamp(text[:HEAD]), known["file"], old=not known["bracket"])
    begins = dict.fromkeys(match.end() for match in _BEGINS.finditer(text[: 2 * HEAD]))
    return Line(tuple(text[at:] for at in begins), stamp(text[:HEAD]))
