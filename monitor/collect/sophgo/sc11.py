"""What Sophgo's driver is set to, from files below the host's root: memory given to the TPU, scheduler, versions."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from monitor import catalog
from monitor.collect.sophgo.fields import word
from monitor.model import Fact

FIRMWARE = "lib/firmware/tpuv7"
HOME = "opt/tpuv7"
CURRENT = f"{HOME}/tpuv7-current"
FILES = ("sc11_config.ini", "sc11_config_chip2.ini")
"""One for each chip of a card; what is set in one only is half set."""

_KEYS = {
    catalog.SOPHGO_SHARE_START: "share-mem-start",
    catalog.SOPHGO_SHARE_SIZE: "share-mem-size",
    catalog.SOPHGO_SCHEDULER: "scheduler",
}
_LINE = re.compile(r"^[ \t]*([A-Za-z][\w-]*)[ \t]*=[ \t]*([^;#\r\n]*)", re.MULTILINE)
_RUNTIME = re.compile(r"tpuv7-runtime[_-](\d[\w.+~-]*)")
_DRIVER = re.compile(r"driver[_-](\d[\w.+~-]*)")
_LONGEST = 65_536
_NONE = "no such file: no driver of Sophgo's, or [host] rootfs is not where the host's root is mounted"


def present(rootfs: Path) -> bool:
    """Tell whether a driver of Sophgo's is installed there."""
    return any(_names(rootfs / folder) for folder in (FIRMWARE, HOME))


def facts(rootfs: Path, sysfs: Path) -> tuple[Fact, ...]:
    """Give each setting of the driver, and the versions of driver and runtime, as far as files tell them.

    A setting that all files have alike is one value; else each file's is told, "unset" where it is not there. It is
    what the driver will read when it is loaded next: that it was, only the memory's size tells.
    """
    folder = _folder(rootfs)
    texts, why = _read(folder)
    settings = (_setting(fact, key, texts, f"{folder}/sc11_config*.ini", why) for fact, key in _KEYS.items())
    return (*settings, _driver(rootfs, sysfs), _runtime(rootfs))


def _folder(rootfs: Path) -> Path:
    """Find the files: the kernel's folder comes first, else that of the newest driver's package."""
    packages = [path / "tpuv7" for _, path in _versions(rootfs, _DRIVER)]
    places = (rootfs / FIRMWARE, *reversed(packages))
    return next((place for place in places if FILES[0] in _names(place)), places[0])


def _read(folder: Path) -> tuple[dict[str, str], str]:
    """Give the texts of the files that are there, or none and what stands in the way: half of it would mislead."""
    texts = {}
    for name in FILES:
        try:
            with (folder / name).open(encoding="utf-8", errors="replace") as file:
                texts[name] = file.read(_LONGEST)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return {}, f"{name} cannot be read: {error.strerror}"
    return texts, _NONE


def _setting(fact: str, key: str, texts: dict[str, str], path: str, why: str) -> Fact:
    told = {name: _value(text, key) for name, text in texts.items()}
    values = set(told.values())
    if not told:
        return Fact(fact, None, path, why)
    apart = ",".join(f"{name}={value}" for name, value in told.items())
    return Fact(fact, values.pop() if len(values) == 1 else apart, path)


def _value(text: str, key: str) -> str:
    """Give a key's value, numbers in one spelling; several sections may have it, so that each value is told once."""
    found = (word(value) for name, value in _LINE.findall(text) if name.replace("_", "-").lower() == key)
    return ",".join(dict.fromkeys(map(_spelt, filter(None, found)))) or "unset"


def _spelt(value: str) -> str:
    try:
        return hex(int(value, 0))
    except ValueError:
        return value


def _driver(rootfs: Path, sysfs: Path) -> Fact:
    path = sysfs / "module/sgcard/version"
    with suppress(OSError):
        if version := word(path.read_text(errors="replace")[:200]):
            return Fact(catalog.SOPHGO_DRIVER, version, str(path))
    versions = [version for version, _ in _versions(rootfs, _DRIVER)]
    why = "" if versions else "the driver is not loaded (lsmod shows sgcard then), or does not tell its version"
    return Fact(catalog.SOPHGO_DRIVER, versions[-1] if versions else None, str(rootfs / HOME), why)


def _runtime(rootfs: Path) -> Fact:
    path = rootfs / CURRENT
    try:
        match = _RUNTIME.search(os.readlink(path))  # noqa: PTH115 - where it leads is a path of the host's, not of ours
    except OSError as error:
        return Fact(catalog.SOPHGO_RUNTIME, None, str(path), f"cannot be read: {error.strerror}")
    return Fact(catalog.SOPHGO_RUNTIME, match[1] if match else None, str(path), "" if match else "tells no version")


def _versions(rootfs: Path, shape: re.Pattern[str]) -> Iterator[tuple[str, Path]]:
    """Give what is installed in versions, the oldest first."""
    names = _names(rootfs / HOME)
    found = [(match[1], rootfs / HOME / name) for name in names if (match := shape.fullmatch(name))]
    yield from sorted(found, key=lambda one: [int(number) for number in re.findall(r"\d{1,9}", one[0])])


def _names(folder: Path) -> list[str]:
    """Give what is in a folder; nothing where it cannot be read."""
    _, folders, files = next(os.walk(folder), ("", [], []))  # which never raises
    return [*folders, *files]
