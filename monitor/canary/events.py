"""Server-sent events out of stamped bytes: each event's data, with the arrival of the line that completed it."""

from collections.abc import Iterable, Iterator

Stamped = tuple[float, bytes]
"""Bytes as they came from the socket, and the perf_counter second of their arrival."""


def events(body: Iterable[Stamped]) -> Iterator[tuple[float, bytes]]:
    """Give the data of each event that has some; comments, names and ids of events are no data.

    An event that the stream's end cuts off before its blank line is given, too: the bytes of its data did arrive.
    """
    data: list[bytes] = []
    last = 0.0
    for at, line in _lines(body):
        if line.startswith(b"data:"):
            data.append(line.removeprefix(b"data:").removeprefix(b" "))
            last = at
        elif not line:
            if any(data):
                yield last, b"\n".join(data)
            data = []
    if any(data):
        yield last, b"\n".join(data)


def _lines(body: Iterable[Stamped]) -> Iterator[tuple[float, bytes]]:
    r"""Split at \n, \r\n and \r.

    A \r at the end of what arrived may be half of a \r\n; it ends the line already, and its \n is then skipped.
    """
    parts: list[bytes] = []
    at, after_return = 0.0, False
    for at, data in (read for read in body if read[1]):
        new = data[1:] if after_return and data.startswith(b"\n") else data
        after_return = data.endswith(b"\r")
        *lines, tail = new.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            yield at, b"".join((*parts, line))
            parts = []
        parts.append(tail)
    if rest := b"".join(parts):
        yield at, rest
