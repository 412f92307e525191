"""Little /proc trees, each written in one text file: what it holds line by line, links, times and rights."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

CAPTURES = Path(__file__).parent / "captures" / "process"
MARKS = ("== ", "=0 ", "-> ", "@ ", "! ")


def captured(name: str) -> str:
    """Give the text of a captured tree."""
    return (CAPTURES / f"{name}.txt").read_text(encoding="utf-8")


def plant(text: str, folder: Path) -> Path:
    """Make the tree in a folder, and give that folder.

    `== path` begins a file of the lines that follow, `=0 path` one of words that end with a zero; `-> path target` is a
    link, `@ seconds path` says when it was last written, `! mode path` who may read it; # begins a remark before all.
    """
    blocks: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith(MARKS):
            blocks.append((line, []))
        elif blocks:
            blocks[-1][1].append(line)
    for mark in MARKS:
        for head, lines in blocks:
            if head.startswith(mark):
                _make(folder, head.removesuffix("\n"), lines)
    return folder


def _make(folder: Path, head: str, lines: Iterable[str]) -> None:
    mark, rest = head.split(" ", 1)
    if mark in {"==", "=0"}:
        end = "\n" if mark == "==" else "\0"
        put(folder / rest, "".join(line + end for line in lines))
        return
    first, second = rest.split(" ", 1)
    if mark == "->":
        link(folder / first, second)
    elif mark == "@":
        os.utime(folder / second, (int(first), int(first)), follow_symlinks=False)
    else:
        (folder / second).chmod(int(first, 8))


def put(path: Path, text: str) -> None:
    """Write a file, and the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(errors="surrogateescape"))


def link(path: Path, target: str) -> None:
    """Make a link, instead of one that may be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """Give a folder that any user can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user whom rights bind: they do not bind root."""
    before = os.geteuid()
    os.seteuid(before or 65_534)
    try:
        yield
    finally:
        os.seteuid(before)
