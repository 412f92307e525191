"""What Sophgo's driver is set to is read from its files: one value where both chips have it, else each file's."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.collect.sophgo.sc11 import facts, present
from monitor.model import Fact

# The values that the vendor's README gives for models of 70B.
LARGE = "[ddr]\nshare-mem-start=0x1e0000000\nshare-mem-size=0x1e20000000\n"
FIRMWARE = "lib/firmware/tpuv7"
PACKAGE = "opt/tpuv7/driver-1.7.0/tpuv7"
FIRST, SECOND = "sc11_config.ini", "sc11_config_chip2.ini"


def put(root: Path, folder: str, **texts: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / folder / {"first": FIRST, "second": SECOND}.get(name, name)).write_text(text)


def seen(root: Path) -> dict[str, Fact]:
    found = facts(root, root / "sys")
    assert all((fact.value is None) == bool(fact.why) for fact in found)
    return {fact.name: fact for fact in found}


def values(root: Path) -> tuple[str | None, ...]:
    found = seen(root)
    keys = (catalog.SOPHGO_SHARE_START, catalog.SOPHGO_SHARE_SIZE, catalog.SOPHGO_SCHEDULER)
    return tuple(found[key].value for key in keys)


def test_both_files_alike(tmp_path: Path) -> None:
    """What both chips' files say is one value; what neither says is unset, which is known too."""
    put(tmp_path, FIRMWARE, first=LARGE, second=LARGE.replace("0x1e", "0X1E"))

    assert ("0x1e0000000", "0x1e20000000", "unset") == values(tmp_path)
    assert seen(tmp_path)[catalog.SOPHGO_SHARE_SIZE].path == f"{tmp_path / FIRMWARE}/sc11_config*.ini"


def test_one_file_forgotten(tmp_path: Path) -> None:
    """An edit of one file only is told for each of them."""
    put(tmp_path, FIRMWARE, first=LARGE, second="scheduler=reuse\n")

    assert (
        f"{FIRST}=0x1e0000000,{SECOND}=unset",
        f"{FIRST}=0x1e20000000,{SECOND}=unset",
        f"{FIRST}=unset,{SECOND}=reuse",
    ) == values(tmp_path)


def test_card_of_one_chip(tmp_path: Path) -> None:
    """One file alone is all there is."""
    put(tmp_path, FIRMWARE, first=LARGE)

    assert ("0x1e0000000", "0x1e20000000", "unset") == values(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("share-mem-size = 0x1e20000000 ; 120.5 GiB", "0x1e20000000"),
        ("  share_mem_size=129385889792\r", "0x1e20000000"),
        ("#share-mem-size=0x1\n;share-mem-size=0x2", "unset"),
        ("share-mem-size=", "unset"),
        ("share-mem-size=most of it", "most of it"),
        ("[chip0]\nshare-mem-size=0x1\n[chip1]\nshare-mem-size=0x2\n[chip2]\nshare-mem-size=1", "0x1,0x2"),
        ("share-mem-size=\x1b[31m0x1", "?[31m0x1"),
    ],
)
def test_lines(tmp_path: Path, text: str, expected: str) -> None:
    """Blanks, comments and the spelling of a number do not matter; sections that differ are all told."""
    put(tmp_path, FIRMWARE, first=text)

    assert expected == seen(tmp_path)[catalog.SOPHGO_SHARE_SIZE].value


def test_files_of_the_package(tmp_path: Path) -> None:
    """Where the kernel's folder has none, the newest driver's own files count."""
    put(tmp_path, PACKAGE.replace("1.7.0", "1.10.0"), first="scheduler=reuse\n")
    put(tmp_path, PACKAGE, first="scheduler=old\n")

    assert "reuse" == values(tmp_path)[2]
    assert "1.10.0" == seen(tmp_path)[catalog.SOPHGO_DRIVER].value


def test_nothing_there(tmp_path: Path) -> None:
    """Without the driver every setting is unreadable, and says what may be missing."""
    assert not present(tmp_path)
    assert (None, None, None) == values(tmp_path)
    assert "rootfs" in seen(tmp_path)[catalog.SOPHGO_SCHEDULER].why


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Half of the files is not the whole: what the other one says is not taken for both."""
    put(tmp_path, FIRMWARE, first=LARGE)
    (tmp_path / FIRMWARE / SECOND).symlink_to(SECOND)

    assert (None, None, None) == values(tmp_path)
    assert f"{SECOND} cannot be read: Too many levels of symbolic links" == seen(tmp_path)[catalog.SOPHGO_SCHEDULER].why


def test_versions(tmp_path: Path) -> None:
    """The loaded driver's version counts before the installed one's; the runtime is the one that is current."""
    put(tmp_path, "opt/tpuv7/driver-1.7.0")
    (tmp_path / "opt/tpuv7/tpuv7-current").symlink_to("/opt/tpuv7/tpuv7-runtime_1.9.3")
    installed = seen(tmp_path)
    put(tmp_path, "sys/module/sgcard", version="1.9.3-rc1\n")
    loaded = seen(tmp_path)

    assert present(tmp_path)
    assert ("1.7.0", "1.9.3-rc1") == (installed[catalog.SOPHGO_DRIVER].value, loaded[catalog.SOPHGO_DRIVER].value)
    assert "1.9.3" == loaded[catalog.SOPHGO_RUNTIME].value


def test_versions_that_are_not_told(tmp_path: Path) -> None:
    """A runtime whose link says nothing, and a driver that is not there, are unreadable, with the reason."""
    put(tmp_path, "opt/tpuv7")
    (tmp_path / "opt/tpuv7/tpuv7-current").symlink_to("elsewhere")

    assert "tells no version" == seen(tmp_path)[catalog.SOPHGO_RUNTIME].why
    assert "lsmod shows sgcard" in seen(tmp_path)[catalog.SOPHGO_DRIVER].why


@given(st.lists(st.text() | st.sampled_from(["share-mem-size=", "scheduler", "=", "0x", "9" * 5000, "\n", "[a]"])))
def test_any_file(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    """Whatever stands in the files, each fact is one short printable line, or says why not."""
    root = tmp_path_factory.mktemp("root")
    (root / FIRMWARE).mkdir(parents=True)
    (root / FIRMWARE / FIRST).write_bytes("".join(parts).encode("utf-8", "replace"))

    assert all((fact.value or "").isprintable() for fact in seen(root).values())
