"""Versions of the vendors' run-times where a vLLM server runs: CANN, the Ascend driver, Sophgo's tpuv7."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from posixpath import basename

from monitor import catalog
from monitor.collect.fetch import LookError
from monitor.collect.process.env import Environment
from monitor.collect.process.tree import AbsentError, Tree
from monitor.collect.redact import shown

_RELEASE = re.compile(r"^version=(\S{1,60})\s*$", re.MULTILINE | re.IGNORECASE)
_VARIABLES = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH")
_HOMES = ("/usr/local/Ascend/ascend-toolkit/latest", "/usr/local/Ascend/cann")
_DRIVER = "/usr/local/Ascend/driver/version.info"
_SOPHGO = "/opt/tpuv7/tpuv7-current"


def runtimes(environment: Environment | None) -> Iterator[tuple[str, Callable[[Tree], str]]]:
    """Give each fact with how to ask for it: that raises LookError, and gives nothing where there is no such thing."""
    asked = [environment.get(name) for name in _VARIABLES] if environment else []
    yield catalog.PROCESS_CANN, partial(_cann, tuple(home for home in (*asked, *_HOMES) if home.startswith("/")))
    yield catalog.PROCESS_ASCEND_DRIVER, partial(_release, _DRIVER)
    yield catalog.PROCESS_SOPHGO_RUNTIME, _sophgo


def _cann(homes: tuple[str, ...], files: Tree) -> str:
    for home in homes:
        for machine in ("aarch64-linux", "x86_64-linux"):
            if version := _release(f"{home}/{machine}/ascend_toolkit_install.info", files):
                return version
    return ""


def _release(path: str, files: Tree) -> str:
    """Give the version that a file of the vendor's names; empty where there is no such file."""
    with suppress(AbsentError):
        match = _RELEASE.search(files.read(path).decode(errors="replace"))
        if match is None:
            raise LookError(f"{path} names no version")
        return shown(match[1])
    return ""


def _sophgo(files: Tree) -> str:
    """Give the name of the folder that is in use, which holds the version."""
    return shown(basename(files.real(_SOPHGO))) if files.has(_SOPHGO) else ""
