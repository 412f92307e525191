"""Following a file that others write, rotate and truncate: each complete line once, within bounds."""

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from monitor.collect.fetch import LookError

FIRST = 256 * 2**10
"""Bytes from the end of the file that the first look reads at most."""
LARGEST = 2**20
"""Bytes that any look reads of a file at most; of what was written since the last look, the newest."""
MOST = 20_000
"""Lines that any look gives of a file at most: the newest. A MiB of ordinary lines has less."""
LONGEST = 64 * 2**10
"""Bytes of the longest line that is given; longer ones are left out."""
_MARK = 256


@dataclass(frozen=True, slots=True)
class Piece:
    """Complete lines in order, oldest first, and when the file was last written (Unix seconds).

    `fresh` says that all of them were written after the look before; `gap` that lines before them are lost.
    """

    lines: tuple[str, ...]
    written: float
    fresh: bool
    gap: bool


class Follower:
    """Follows one path, as `tail -F` does; the file is held open between looks.

    A renamed or removed file is read on until another one with content is at the path: who writes it may go on for a
    while. Lost are only lines that were truncated away before a look, and files that came and went between two looks.
    """

    _file: io.FileIO | None = None
    _successor: io.FileIO | None = None

    def __init__(self, path: Path, first: int = FIRST, largest: int = LARGEST) -> None:
        self.path = path
        self._first = first
        self._largest = largest
        self._begin(0)

    def read(self) -> tuple[Piece, ...]:
        """Give what is new; a file that was rotated away, and then its successor, are two pieces.

        Raises:
            LookError: the path cannot be read. Nothing is lost by that: what was written meanwhile comes later.
        """
        try:
            return self._read()
        except PermissionError:
            raise LookError(f"{self.path} may not be read: give user {os.getuid()} the right to read it") from None
        except (FileNotFoundError, NotADirectoryError):
            self._first = self._largest  # what will be there is new
            raise LookError(
                f"{self.path} is not there: start vLLM with its output appended to it (>> {self.path} 2>&1), "
                "correct log_file, or mount its folder here"
            ) from None
        except (OSError, ValueError) as error:
            self.close()  # a handle that went stale never recovers
            why = error.strerror if isinstance(error, OSError) else error
            raise LookError(f"{self.path} cannot be read: {why}; correct log_file") from None

    def close(self) -> None:
        """Let go of the file; the next look would begin anew."""
        for file in (self._file, self._successor):
            if file is not None:
                file.close()
        self._file = self._successor = None
        self._begin(0)

    def __del__(self) -> None:
        self.close()

    def _read(self) -> tuple[Piece, ...]:
        there = self._there()
        if self._file is None:
            self._file = self._opened()
            return (self._drained(self._file, self._first, fresh=False),)
        if there and self._successor is None and _is_another(self._file, there):
            self._successor = self._opened()  # before the last is read: where this fails, nothing is lost
        last = self._drained(self._file, self._largest, fresh=True)
        if self._successor is None:
            if there is None and not last.lines:
                raise FileNotFoundError
            return (last,)
        self._file.close()
        self._file, self._successor = self._successor, None
        self._begin(0)
        return last, self._drained(self._file, self._largest, fresh=True)

    def _there(self) -> os.stat_result | None:
        """Tell what is at the path; None if nothing is, while another file is still followed."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            if self._file is None:
                raise
            return None
        if not stat.S_ISREG(there.st_mode):  # opening a pipe would wait for its writer
            raise LookError(f"{self.path} is not a file: name in log_file the file that vLLM's output goes to")
        return there

    def _opened(self) -> io.FileIO:
        return io.FileIO(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))

    def _begin(self, offset: int) -> None:
        """Be about to read at an offset, of which nothing is known."""
        self._offset = offset
        self._mark = b""  # what stands before the offset, as it was when it was read
        self._rest = b""  # the line that is not complete yet
        self._skips = False  # whether the line that stands at the offset is given up

    def _drained(self, file: io.FileIO, most: int, *, fresh: bool) -> Piece:
        """Read from where the last read ended, or from the beginning if the file was written anew."""
        state = os.fstat(file.fileno())
        truncated = state.st_size < self._offset or not self._stands(file)
        if truncated:
            self._begin(0)
        skipped = state.st_size - self._offset > most
        if skipped:
            self._begin(state.st_size - most - 1)  # one byte earlier: it tells whether a line begins after it
            self._skips = True
        data = os.pread(file.fileno(), state.st_size - self._offset, self._offset)
        self._offset += len(data)
        self._mark = (self._mark + data)[-_MARK:]
        lines, flooded = self._lines(data)
        return Piece(lines, state.st_mtime, fresh, gap=truncated or skipped or flooded)

    def _stands(self, file: io.FileIO) -> bool:
        """Tell whether what was read last still stands there: else the file was truncated, and has grown since."""
        return os.pread(file.fileno(), len(self._mark), self._offset - len(self._mark)) == self._mark

    def _lines(self, data: bytes) -> tuple[tuple[str, ...], bool]:
        """Cut bytes into complete lines, and tell whether there were too many."""
        if data[:1] == b"\0":
            self._skips = False  # a hole: truncated under a writer that goes on where it was, so a line follows it
        first, *others = (self._rest + data.replace(b"\0", b"")).rsplit(b"\n", MOST)
        flooded = b"\n" in first
        complete = [*([] if self._skips or flooded else [first]), *others[:-1]] if others else []
        self._skips = self._skips and not others
        self._rest = others[-1] if others else first
        if len(self._rest) > LONGEST:
            self._rest, self._skips = b"", True
        return tuple(line.decode(errors="replace") for line in complete if len(line) <= LONGEST), flooded


def _is_another(file: io.FileIO, there: os.stat_result) -> bool:
    """Tell whether what is at the path now is another file, to which the writer has moved."""
    mine = os.fstat(file.fileno())
    return there.st_size > 0 and (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino)
