"""What is installed for a vLLM server: versions, wheels, the order of installation, and the vllm that is loaded."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

from monitor import catalog, guides
from monitor.collect.fetch import LookError
from monitor.collect.process import reorder
from monitor.collect.process.env import Environment, Inherited
from monitor.collect.process.files import Proc, asked, told
from monitor.collect.process.find import Server
from monitor.collect.process.libraries import Mapped, Maps
from monitor.collect.process.python import Python, build, compiler, folders, python, version
from monitor.collect.process.runtimes import runtimes
from monitor.collect.process.tree import AbsentError, Tree, tree
from monitor.collect.redact import shown
from monitor.model import Fact

ABSENT = "absent"
LARGEST_RECORD = 16 * 2**20

_INFO = re.compile(r"(.+?)-([^-]+)(?:-py3[\d.]*)?\.(?:dist|egg)-info")
_SEPARATORS = re.compile(r"[-_.]+")
_TAG = re.compile(r"^Tag: *(\S{1,100})\s*$", re.MULTILINE)
_MODULE = re.compile(r"(/.+/vllm)/[^/]+\.so")


@dataclass(frozen=True, slots=True)
class Installed:
    """A server's files, its Python, the folders of its packages, and those distributions that have facts."""

    python: Python
    folders: tuple[str, ...]
    packages: Mapping[str, "Package"]


@dataclass(frozen=True, slots=True)
class Package:
    """One installed distribution: its version, and the folder that tells of it."""

    version: str
    folder: str


def facts(here: Proc, server: Server, maps: Maps, inherited: Inherited) -> Iterator[Fact]:
    """Give what is found below the server's root: its Python, its packages, and the vendors' run-times."""
    pid = server.process.pid
    seen: Mapped = frozenset()
    environment = None
    with suppress(LookError):
        seen = maps(pid)
    with suppress(LookError):
        environment = inherited()
    look = cache(lambda: _installed(python(here, server, tree(here, pid), seen), server, environment, seen))
    path = f"/proc/{pid}/root"
    yield asked(catalog.PROCESS_PYTHON, path, lambda: version(look().python))
    yield from told(catalog.PROCESS_BUILD, path, lambda: build(look().python))
    yield asked(catalog.PROCESS_PYTHON_COMPILER, path, lambda: compiler(look().python))
    yield from told(catalog.PROCESS_PACKAGE.values(), path, lambda: versions(look().packages))
    for name, fact in catalog.PROCESS_WHEEL.items():
        yield asked(fact, path, partial(_wheel, look, name))
    yield from told(
        (catalog.PROCESS_INSTALL_ORDER, catalog.PROCESS_INSTALLED_AFTER_PYTHON), path, lambda: order(look())
    )
    yield asked(catalog.PROCESS_MODULE, path, lambda: module(look(), seen))
    for fact, ask in runtimes(environment):
        yield asked(fact, path, partial(_runtime, here, pid, ask))
    if _sophgos(look, seen):
        yield asked(catalog.SOPHGO_REORDER_CACHE, path + reorder.CACHE, lambda: _reordered(look()))


def _wheel(look: Callable[[], Installed], name: str) -> str:
    return wheel(look(), name)


def _runtime(here: Proc, pid: int, ask: Callable[[Tree], str]) -> str:
    return ask(tree(here, pid)) or ABSENT


def _sophgos(look: Callable[[], Installed], seen: Mapped) -> bool:
    """Tell whether a server runs on Sophgo's torch or plug-in, as far as that can be known."""
    if any("/torch_tpu/" in file for file in seen):
        return True
    with suppress(LookError):
        return "torch-tpu" in look().packages or any("sophon" in folder for folder in look().folders)
    return False


def _reordered(one: Installed) -> str:
    vllm = one.packages.get("vllm", Package("", ""))
    return reorder.age(one.python.files, vllm.version, vllm.folder)


def _installed(one: Python, server: Server, environment: Environment | None, seen: Mapped) -> Installed:
    where = folders(one, server, environment, seen)
    return Installed(one, where, packages(one.files, where))


def packages(files: Tree, where: tuple[str, ...]) -> Mapping[str, Package]:
    """Give the named distributions; of one that is there twice, the first, which is the one that Python takes."""
    found: dict[str, Package] = {}
    for folder in where:
        for name in files.names(folder):
            match = _INFO.fullmatch(name)
            project = _SEPARATORS.sub("-", match[1]).lower() if match else ""
            if match and project in guides.PACKAGES:
                found.setdefault(project, Package(match[2], f"{folder}/{name}"))
    return found


def versions(found: Mapping[str, Package]) -> Mapping[str, str]:
    """Give each named distribution's version, or that it is absent."""
    return {
        fact: shown(found[name].version) if name in found else ABSENT for name, fact in catalog.PROCESS_PACKAGE.items()
    }


def wheel(one: Installed, name: str) -> str:
    """Give the wheel's tags and a digest of its record, by which builds of one version differ; raises LookError."""
    if name not in one.packages:
        return ABSENT
    files, folder = one.python.files, one.packages[name].folder
    tags = _TAG.findall(files.read(f"{folder}/WHEEL").decode(errors="replace"))
    record = hashlib.sha256(files.read(f"{folder}/RECORD", LARGEST_RECORD)).hexdigest()[:12]
    return shown(f"{','.join(sorted(tags)) or 'no tag'} record={record}")


def order(one: Installed) -> Mapping[str, str]:
    """Give the order of installation by when files were last written, Python included; raises LookError."""
    changed = one.python.files.changed
    times = {"python": changed(one.python.executable)}
    times |= {name: changed(package.folder) for name, package in one.packages.items()}
    ordered = sorted(times, key=lambda name: (times[name], name))
    text = ordered[0]
    for before, name in pairwise(ordered):
        text += f" {'=' if times[before] == times[name] else '<'} {name}"
    early = [name for name in ("vllm", "vllm-ascend") if name in times and times[name] < times["python"]]
    return {
        catalog.PROCESS_INSTALL_ORDER: shown(text),
        catalog.PROCESS_INSTALLED_AFTER_PYTHON: f"no: {' '.join(early)}" if early else "yes",
    }


def module(one: Installed, seen: Mapped) -> str:
    """Give the folder of the vllm that is loaded or, where none of its libraries is mapped, that would be."""
    loaded = sorted({match[1] for file in seen if (match := _MODULE.fullmatch(file))})
    if loaded:
        return shown(" ".join(loaded))
    for folder in one.folders:
        if one.python.files.has(f"{folder}/vllm/__init__.py"):
            return shown(f"{folder}/vllm")
    raise AbsentError("no vllm is found in PYTHONPATH or site-packages: it may be installed for editing")
