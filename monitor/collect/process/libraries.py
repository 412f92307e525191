"""What a vLLM server's processes have mapped: the allocator, what LD_PRELOAD asked for, run-time libraries."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from posixpath import basename

from monitor import catalog
from monitor.collect.process import env
from monitor.collect.process.files import Proc, asked, below, told
from monitor.collect.process.find import Server
from monitor.collect.process.tree import AbsentError, Tree, tree
from monitor.collect.redact import agreed, shown
from monitor.model import Fact

Mapped = frozenset[str]
"""Files of which code is mapped, as the process names them."""
Maps = Callable[[int], Mapped]
"""Gives what a process has mapped; raises LookError."""

_ALLOCATOR = re.compile(r"lib(tcmalloc|jemalloc|mimalloc)[^/]*\.so[^/]*")
_RUNTIME = re.compile(r"lib(?:omp|iomp5|gomp|crypto|ssl)(?:-[^/]*)?\.so[^/]*")
_CODE = re.compile(rb"^\S+ ..x. \S+ \S+ \d+ +(/.*?) *$", re.MULTILINE)
_DEFAULT = "libc"


def mapped(proc: Proc, pid: int) -> Mapped:
    """Give the files of which a process has code mapped; raises LookError."""
    root = proc.root(pid)
    files = set(_CODE.findall(proc.read(pid, "maps")))
    return frozenset(below(root, file.decode(errors="replace")) for file in files)


def facts(proc: Proc, server: Server, maps: Maps, environment: env.Inherited) -> Iterator[Fact]:
    """Give the facts of one process of each kind: the server itself, an engine, a worker. Their siblings are alike."""
    path = f"/proc/{server.process.pid}/maps"
    yield from told((catalog.PROCESS_ALLOCATOR, catalog.PROCESS_LIBRARIES), path, lambda: _seen(server, maps))
    yield asked(catalog.PROCESS_PRELOAD, path, partial(_preload, proc, server, maps, environment))


def _kinds(server: Server) -> Mapping[str, int]:
    kinds = {"server": (server.process,), "engine": server.of("EngineCore"), "worker": server.of("Worker")}
    return {name: processes[0].pid for name, processes in kinds.items() if processes}


def _seen(server: Server, maps: Maps) -> Mapping[str, str]:
    files = {name: maps(pid) for name, pid in _kinds(server).items()}
    allocators = {name: "+".join(_allocators(one)) or _DEFAULT for name, one in files.items()}
    libraries = {basename(file) for one in files.values() for file in one if _RUNTIME.fullmatch(basename(file))}
    return {
        catalog.PROCESS_ALLOCATOR: agreed(allocators),
        catalog.PROCESS_LIBRARIES: shown(" ".join(sorted(libraries)) or "none"),
    }


def _allocators(files: Iterable[str]) -> list[str]:
    matches = (_ALLOCATOR.fullmatch(basename(file)) for file in files)
    return sorted({match[1] for match in matches if match})


def _preload(proc: Proc, server: Server, maps: Maps, inherited: env.Inherited) -> str:
    """Say whether each preloaded file is there and mapped, and that no two allocators are."""
    files = tree(proc, server.process.pid)
    environments = {"server": env.own(proc, server)}
    always = _system_wide(files)
    named: set[str] = set()
    troubles: dict[str, None] = {}
    for name, pid in _kinds(server).items():
        environment = environments.get(name) or inherited()
        wanted = {*re.split(r"[\s:]+", environment.known("LD_PRELOAD")), *always} - {""}
        troubles |= dict.fromkeys(_troubles(files, maps(pid), sorted(wanted)))
        named |= wanted
    return shown("; ".join(troubles) or ("sound" if named else "none"))


def _system_wide(files: Tree) -> list[str]:
    try:
        return files.read("/etc/ld.so.preload").decode(errors="replace").split()
    except AbsentError:
        return []


def _troubles(files: Tree, seen: Mapped, wanted: Iterable[str]) -> Iterator[str]:
    for file in wanted:
        if "/" not in file or "$" in file:  # the loader searches for it, or fills it in
            there, is_mapped = True, any(basename(one).startswith(basename(file)) for one in seen)
        else:
            there, is_mapped = files.has(file), not seen.isdisjoint({file, files.real(file)})
        if not is_mapped:
            yield f"{'not mapped' if there else 'missing'}: {file}"
    if len(both := _allocators(seen)) > 1:
        yield f"two allocators: {' and '.join(both)}"
