"""The textfile for node_exporter: what `serve` would show of rules and settings, whole or not at all."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from goldens import compare
from tools import checked

from monitor import catalog
from monitor.model import Condition, Fact, Rule, Ruling
from monitor.textfile import exposition, write

RULE = Rule("host.swappiness", "host", Condition("vm.swappiness", "is", ("0",)), (), "warning", "w", "f", "g")
RULINGS = (
    Ruling(RULE, "mismatch", "60"),
    Ruling(replace(RULE, id="host.thp", severity="info"), "match", "madvise"),
    Ruling(replace(RULE, id="host.epp"), "unreadable", why="no cpufreq"),
    Ruling(replace(RULE, id="host.turbo"), "elsewhere"),
)
NODE = (Fact("vm.swappiness", "60", "/proc/sys/vm/swappiness"), Fact("cpu.epp", None, why="no cpufreq"))
SERVER = (Fact("process.env.LD_PRELOAD", 'a"b\\c\nd'), Fact("process.arguments", "x" * 200))
TEXT = exposition({"llama": RULINGS}, {"llama": SERVER, "": NODE})


@contextmanager
def limited(most: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: the nearest to a full disk without mounting one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_golden() -> None:
    """Rules that are met and not met, and settings that are known; what cannot be read is absent."""
    compare(Path(__file__).parent / "goldens" / "textfile.prom", TEXT.decode())


def test_promtool_likes_it() -> None:
    """Prometheus's own linter has nothing to say."""
    assert (0, "", "") == checked(TEXT.decode(), "prometheus", "promtool", "check", "metrics")


def test_nothing_to_tell() -> None:
    """Without any rule or setting both families are there, empty: that the file is young says that it was made."""
    lines = exposition({}, {}).decode().splitlines()

    assert [f"# TYPE {name} gauge" for name in (catalog.RULE_MATCH, catalog.FACT_INFO)] == lines[1::2]


def test_a_file_takes_the_place_of_another(tmp_path: Path) -> None:
    """The new file is there for all to read, and nothing is left of how it was made."""
    path = tmp_path / "vllm_monitor.prom"
    path.write_text("old")
    path.chmod(0o600)
    write(path, TEXT)

    assert (TEXT, 0o644, [path]) == (path.read_bytes(), path.stat().st_mode & 0o777, list(tmp_path.iterdir()))


def test_a_write_that_fails(tmp_path: Path) -> None:
    """What cannot be put in place leaves what was there, and nothing else."""
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write(path, TEXT)

    assert [path] == list(tmp_path.iterdir())


def test_a_full_disk(tmp_path: Path) -> None:
    """A disk that fills up while the file is made leaves the old one."""
    path = tmp_path / "vllm_monitor.prom"
    path.write_text("old")
    with pytest.raises(OSError, match="File too large"), limited(1000):
        write(path, b"x" * 100_000)

    assert ("old", [path]) == (path.read_text(), list(tmp_path.iterdir()))
