"""Whatever happens to a log file, each complete line of it is given once, in order, and a look is bounded."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.collect.fetch import LookError
from monitor.collect.follow import FIRST, LARGEST, LONGEST, MOST, Follower


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vllm.log"


@pytest.fixture
def follower(path: Path) -> Iterator[Follower]:
    with closing(Follower(path)) as made:
        yield made


class Denied(Follower):
    """Follows as one who may not open files: tests may run as root, who always may."""

    denied = False

    def _opened(self) -> io.FileIO:
        if self.denied:
            raise PermissionError
        return super()._opened()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def lines(follower: Follower) -> list[str]:
    return [line for piece in follower.read() for line in piece.lines]


def test_only_what_is_new(path: Path, follower: Follower) -> None:
    """The first look gives the lines that are there, later ones what came since, and nothing twice."""
    append(path, "one\ntwo\n")
    first = lines(follower)
    append(path, "three\n")

    assert [["one", "two"], ["three"], []] == [first, lines(follower), lines(follower)]


def test_first_look_is_at_the_end(path: Path, follower: Follower) -> None:
    """Of a long file the first look reads the last 256 KiB, and begins with a whole line."""
    written = [f"{number:031}" for number in range(20_000)]
    append(path, "\n".join(written) + "\n")

    assert written[-(FIRST // 32) :] == lines(follower)


def test_first_look_within_a_line(path: Path) -> None:
    """A line of which the first look would see only the end is left out."""
    append(path, "0123456789\nabc\n")
    with closing(Follower(path, first=9)) as follower:
        assert ["abc"] == lines(follower)


def test_torn_line(path: Path, follower: Follower) -> None:
    """A line is given when its end is there, even if a character of it was torn."""
    whole = "größer\n".encode()
    path.write_bytes(b"a\n" + whole[:3])
    first = lines(follower)
    with path.open("ab") as file:
        file.write(whole[3:])

    assert [["a"], ["größer"]] == [first, lines(follower)]


def test_invalid_text(path: Path, follower: Follower) -> None:
    """Bytes that are no text cost one character each, not the line."""
    path.write_bytes(b"a\xffb\nc\n")

    assert ["a\ufffdb", "c"] == lines(follower)


@pytest.mark.parametrize("gone", ["renamed", "removed"])
def test_rotation(path: Path, follower: Follower, gone: str) -> None:
    """What was written to the old file after the last look comes before what the new file has."""
    append(path, "one\n")
    first = lines(follower)
    append(path, "two\n")
    path.rename(path.with_suffix(".1"))
    if gone == "removed":
        path.with_suffix(".1").unlink()
    append(path, "three\n")
    pieces = follower.read()

    assert ["one"] == first
    assert [(("two",), False), (("three",), False)] == [(piece.lines, piece.gap) for piece in pieces]
    assert [] == lines(follower)


def test_writer_that_stays_with_the_old_file(path: Path, follower: Follower) -> None:
    """While the new file is empty the old one is read on: the writer was not told yet to reopen it."""
    append(path, "one\n")
    seen = [lines(follower)]
    old = path.rename(path.with_suffix(".1"))
    path.touch()
    append(old, "two\n")
    seen.append(lines(follower))
    append(old, "three\n")
    append(path, "four\n")

    assert [["one"], ["two"], ["three", "four"]] == [*seen, lines(follower)]


def test_file_that_is_renamed_and_not_made_again(path: Path, follower: Follower) -> None:
    """A file that is no longer at its path is read on as long as lines come; then it is told that it is not there."""
    append(path, "one\n")
    seen = [lines(follower)]
    append(path.rename(path.with_suffix(".1")), "two\n")
    seen.append(lines(follower))

    with pytest.raises(LookError, match="is not there"):
        follower.read()
    append(path, "three\n")
    assert [["one"], ["two"], ["three"]] == [*seen, lines(follower)]


@pytest.mark.parametrize("after", ["", "x\n", "three\n", "a longer line than all before\n"])
def test_truncation(path: Path, follower: Follower, after: str) -> None:
    """A file that was written anew is read from its beginning, however long it has become since."""
    append(path, "one\ntwo\n")
    lines(follower)
    path.write_text(after)
    [piece] = follower.read()

    assert (tuple(after.splitlines()), True) == (piece.lines, piece.gap)


def test_truncation_under_a_writer_that_does_not_append(path: Path) -> None:
    """A hole, which such a writer leaves where it was, costs neither a line nor memory."""
    with path.open("wb", buffering=0) as writer, closing(Follower(path, largest=100)) as follower:
        writer.write(b"x" * 1000 + b"\n")
        follower.read()
        os.truncate(path, 0)
        writer.write(b"one\ntwo\n")

        assert ["one", "two"] == lines(follower)


def test_flood(path: Path, follower: Follower) -> None:
    """Of more than 1 MiB since the last look only the newest is read, from a whole line on, and the gap is told."""
    append(path, "begin\n")
    follower.read()
    written = [f"{number:063}" for number in range(40_000)]
    append(path, "\n".join(written) + "\n")
    [piece] = follower.read()

    assert (tuple(written[-(LARGEST // 64) :]), True) == (piece.lines, piece.gap)


def test_flood_of_short_lines(path: Path, follower: Follower) -> None:
    """Of very many lines only the newest are given, and the gap is told: each costs something, however short."""
    append(path, "begin\n")
    follower.read()
    written = [str(number) for number in range(MOST + 5)]
    append(path, "\n".join(written) + "\n")
    [piece] = follower.read()
    append(path, "\n" * LARGEST)
    [blank] = follower.read()

    assert (tuple(written[6:]), True) == (piece.lines, piece.gap)
    assert (("",) * (MOST - 1), True) == (blank.lines, blank.gap)


def test_line_without_end(path: Path, follower: Follower) -> None:
    """A line longer than 64 KiB is left out, whether it comes at once or bit by bit, and the next one is given."""
    seen = []
    for text in ("a\n" + "x" * LONGEST, "x", "x", "\nb\n", "y" * (LONGEST + 1) + "\nc\n", "z" * LONGEST + "\n"):
        append(path, text)
        seen.append([line[:1] for line in lines(follower)])

    assert [["a"], [], [], ["b"], ["c"], ["z"]] == seen


def test_lines_of_the_first_look_may_be_old(path: Path, follower: Follower) -> None:
    """Only lines that came after an earlier look are called fresh; the file's time is told with them."""
    append(path, "one\n")
    os.utime(path, (5.0, 5.0))
    pieces = follower.read()
    append(path, "two\n")
    os.utime(path, (6.0, 6.0))
    pieces += follower.read()

    assert [(5.0, False), (6.0, True)] == [(piece.written, piece.fresh) for piece in pieces]


def test_file_that_comes_later(path: Path, follower: Follower) -> None:
    """A log that is not there yet is told with what to do, and read whole once it is there."""
    with pytest.raises(LookError) as caught:
        follower.read()
    written = [f"{number:031}" for number in range(19_000)]
    append(path, "\n".join(written) + "\n")

    advice = "correct log_file, or mount its folder here"
    assert f"{path} is not there: start vLLM with its output appended to it (>> {path} 2>&1), {advice}" == str(
        caught.value
    )
    assert written == lines(follower)


def test_what_is_no_file(tmp_path: Path, path: Path) -> None:
    """A folder, a pipe (which nobody waits for), and a path that cannot be are told in one line each."""
    os.mkfifo(path)
    said = []
    for wrong in (tmp_path, path, path / "below", Path("a\0b"), tmp_path / ("x" * 300)):
        with closing(Follower(wrong)) as follower, pytest.raises(LookError) as caught:
            follower.read()
        said.append(str(caught.value))

    assert said[0] == f"{tmp_path} is not a file: name in log_file the file that vLLM's output goes to"
    assert said[1] == f"{path} is not a file: name in log_file the file that vLLM's output goes to"
    assert said[2].startswith(f"{path / 'below'} is not there: ")
    assert said[3].endswith("cannot be read: embedded null byte; correct log_file")
    assert said[4].endswith("cannot be read: File name too long; correct log_file")


def test_no_right_to_read(path: Path) -> None:
    """A file that may not be read is told with who must be allowed to."""
    append(path, "one\n")
    with closing(Denied(path)) as follower:
        follower.denied = True
        with pytest.raises(LookError) as caught:
            follower.read()

    assert f"{path} may not be read: give user {os.getuid()} the right to read it" == str(caught.value)


def test_successor_that_may_not_be_read(path: Path) -> None:
    """Where the new file cannot be opened, what is left of the old one is not lost: it comes when it can be."""
    append(path, "one\n")
    with closing(Denied(path)) as follower:
        follower.read()
        append(path, "two\n")
        path.rename(path.with_suffix(".1"))
        append(path, "three\n")
        follower.denied = True
        with pytest.raises(LookError):
            follower.read()
        follower.denied = False

        assert ["two", "three"] == lines(follower)


@dataclass(eq=False)
class Written:
    """What one file holds, and up to where a reader that knows everything has read it."""

    path: Path
    content: bytes = b""
    read: int = 0
    rest: bytes = b""

    def write(self, data: bytes, at: int) -> None:
        """Write somewhere; what lies between is a hole."""
        self.content = self.content[:at].ljust(at, b"\0") + data
        with self.path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def truncate(self) -> None:
        """Empty the file: what was not read is lost."""
        os.truncate(self.path, 0)
        self.content, self.read, self.rest = b"", 0, b""

    def unread(self) -> list[str]:
        """Give the complete lines that were not given yet."""
        data = self.rest + self.content[self.read :].replace(b"\0", b"")
        *complete, self.rest = data.split(b"\n")
        self.read = len(self.content)
        return [line.decode() for line in complete]


@dataclass(eq=False)
class Model:
    """A path, the files that were there, who writes where, and what a follower should give."""

    path: Path
    appends: bool
    files: list[Written] = field(default_factory=list)
    writes: Written | None = None
    there: Written | None = None
    followed: Written | None = None
    at: int = 0

    def write(self, data: bytes) -> None:
        """Write where the writer is, who opens the file if there is none."""
        if self.writes is None:
            self.reopen()
        assert self.writes is not None
        at = len(self.writes.content) if self.appends else self.at
        self.writes.write(data, at)
        self.at = at + len(data)

    def reopen(self) -> None:
        """Let the writer open what is at the path."""
        if self.there is None:
            self.create()
        self.writes = self.there
        self.at = len(self.writes.content) if self.writes else 0

    def create(self) -> None:
        """Put an empty file at the path, where none is."""
        if self.there is None:
            self.path.touch()
            self.there = Written(self.path)
            self.files.append(self.there)

    def rename(self) -> None:
        """Take the file away from the path."""
        if self.there is not None:
            self.there.path = self.path.rename(self.path.with_suffix(f".{len(self.files)}"))
            self.there = None

    def expected(self) -> list[str] | None:
        """Give what a look should give; None if it cannot be made."""
        if self.followed is None:
            self.followed = self.there
            return self.followed.unread() if self.followed else None
        found = self.followed.unread()
        if self.there is not None and self.there is not self.followed and self.there.content:
            self.followed = self.there
            return found + self.followed.unread()
        return None if self.there is None and not found else found


STEPS = st.lists(st.sampled_from(["write", "tear", "look", "rename", "create", "reopen", "truncate"]), max_size=40)


@settings(max_examples=300)
@given(steps=STEPS, appends=st.booleans(), data=st.data())
def test_any_sequence(steps: list[str], appends: bool, data: st.DataObject) -> None:  # noqa: FBT001 - hypothesis passes by name
    """Whatever is appended, torn, rotated and truncated in whatever order, each complete line is given once and in
    order, but for those that were truncated away, and files that came and went, between two looks.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Model(Path(folder) / "log", appends)
        pending = b""
        with closing(Follower(model.path)) as follower:
            for number, step in enumerate([*steps, "look"]):
                if step in {"write", "tear"}:
                    pending += b"%03d " % number * data.draw(st.integers(1, 100)) + b"\n"
                    cut = data.draw(st.integers(0, len(pending))) if step == "tear" else len(pending)
                    model.write(pending[:cut])
                    pending = pending[cut:]
                elif step == "truncate" and model.there is not None:
                    model.there.truncate()
                elif step == "look":
                    expected = model.expected()
                    if expected is None:
                        with pytest.raises(LookError):
                            follower.read()
                    else:
                        assert expected == lines(follower)
                elif step != "truncate":
                    getattr(model, step)()


@settings(max_examples=200)
@given(
    writes=st.lists(st.lists(st.integers(0, 60), max_size=20), max_size=10),
    first=st.integers(1, 200),
    largest=st.integers(1, 200),
)
def test_any_flood(writes: list[list[int]], first: int, largest: int) -> None:
    """However much comes between two looks, lines are given in order and once, the newest that fit always among them,
    and as many bytes as may be at most.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.touch()
        given_lines: list[str] = []
        count = 0
        with closing(Follower(path, first, largest)) as follower:
            for turn, lengths in enumerate(writes):
                new = [f"{count + at:04}" + "x" * length for at, length in enumerate(lengths)]
                count += len(new)
                append(path, "".join(f"{line}\n" for line in new))
                most = largest if turn else first
                seen = lines(follower)
                fits = [line for at, line in enumerate(new) if sum(len(one) + 1 for one in new[at:]) <= most]
                assert fits == seen
                given_lines += seen
        assert all(before < after for before, after in pairwise(given_lines))
