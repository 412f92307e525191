"""The Python of a vLLM server, without running it: how it was built, and where its packages lie."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from posixpath import basename, dirname

from monitor import catalog
from monitor.collect.fetch import LookError
from monitor.collect.process.env import Environment
from monitor.collect.process.files import Proc, below
from monitor.collect.process.find import Server
from monitor.collect.process.libraries import Mapped
from monitor.collect.process.tree import AbsentError, Tree
from monitor.collect.redact import shown

MOST_FOLDERS = 8
_DEBIAN = "--with-wheel-pkg-dir=/usr/share/python-wheels"

_DYNLOAD = re.compile(r"(/.*/lib(?:64)?/python3\.\d+)/lib-dynload/")
_VERSION = re.compile(r"python(3\.\d+)")
_DATA = re.compile(r"_sysconfigdata.*\.py")
_ITEM = r"""^[ {{]*'{}': (.*(?:\n\s+(?!'\w+': )["'].*)*)"""
_HEADER = re.compile(r'^#define PY_VERSION\s+"([\w.+]{1,40})"', re.MULTILINE)
_SITE = re.compile(r"(/.*/(?:site|dist)-packages)/")


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter: its own file and its standard library, as the server sees them."""

    files: Tree
    executable: str
    library: str


def python(proc: Proc, server: Server, files: Tree, seen: Mapped) -> Python:
    """Find the server's interpreter by what it runs and has mapped; raises LookError."""
    try:
        executable = proc.link(server.process.pid, "exe")
    except LookError as denied:
        try:
            return _python(files, server.process.argv[0], seen)
        except LookError:
            raise denied from None
    return _python(files, below(proc.root(server.process.pid), executable), seen)


def _python(files: Tree, path: str, seen: Mapped) -> Python:
    executable = files.real(path)
    minor = _VERSION.search(basename(executable))
    libraries = [match[1] for file in sorted(seen) if (match := _DYNLOAD.match(file))]
    if minor:
        libraries += [f"{dirname(dirname(executable))}/{lib}/python{minor[1]}" for lib in ("lib", "lib64")]
    for library in libraries:
        if files.has(library):
            return Python(files, executable, library)
    raise LookError(f"no standard library is found beside {executable}")


def build(one: Python) -> Mapping[str, str]:
    """Give how it was optimised, as far as it was configured so; raises LookError."""
    arguments = _recorded(one, "CONFIG_ARGS")
    lto = re.search(r"--with-lto(?:=(\w+))?", arguments)
    pgo = "--enable-optimizations" in arguments  # not PGO_PROF_USE_FLAG: that one is there without PGO, too
    if _DEBIAN in arguments and not (lto or pgo):
        raise LookError("Debian and Ubuntu optimise their Python while packaging it, and keep no record of that")
    return {
        catalog.PROCESS_PYTHON_LTO: lto[1] or "yes" if lto else "no",
        catalog.PROCESS_PYTHON_PGO: "yes" if pgo else "no",
    }


def compiler(one: Python) -> str:
    """Give the compiler that it was built with; raises LookError."""
    return shown(_recorded(one, "CC"))


def _recorded(one: Python, name: str) -> str:
    """Give one string of what its own build wrote down; raises LookError."""
    names = [name for name in one.files.names(one.library) if _DATA.fullmatch(name)]
    if not names:
        raise AbsentError(f"no _sysconfigdata in {one.library}: this Python keeps no record of its build")
    value = _item(one.files.read(f"{one.library}/{names[0]}").decode(errors="replace"), name)
    if value is None:
        raise LookError(f"{names[0]} tells no {name}: this Python keeps no record of its build")
    return value


def folders(one: Python, server: Server, environment: Environment | None, seen: Mapped) -> tuple[str, ...]:
    """Give the folders of packages in the order in which they are searched, as far as that can be told from outside."""
    found = dict.fromkeys(_asked(environment))
    script = next((word for word in server.process.argv[1:3] if word.startswith("/")), "")
    for program in (script, server.process.argv[0]):
        if program.startswith("/"):
            found |= {f"{dirname(dirname(program))}/lib/{basename(one.library)}/site-packages": None}
    used = Counter(match[1] for file in seen if (match := _SITE.match(file)))
    found |= {folder: None for folder, _ in used.most_common()}
    found |= {f"{one.library}/site-packages": None, f"{dirname(one.library)}/python3/dist-packages": None}
    real = dict.fromkeys(one.files.real(folder) for folder in found)
    return tuple(folder for folder in real if one.files.has(folder))[:MOST_FOLDERS]


def _asked(environment: Environment | None) -> Iterator[str]:
    """Give the absolute folders of PYTHONPATH."""
    for folder in environment.get("PYTHONPATH").split(":") if environment else ():
        if folder.startswith("/"):
            yield folder


def _item(text: str, name: str) -> str | None:
    """Give one string of a dictionary's source; None where it is none."""
    match = re.search(_ITEM.format(name), text, re.MULTILINE)
    try:
        value = ast.literal_eval(f"({match[1].rstrip().rstrip(',}')})") if match else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def version(one: Python) -> str:
    """Give the version: all of it where the headers are installed."""
    name = basename(one.library)
    try:
        header = one.files.read(f"{dirname(dirname(one.library))}/include/{name}/patchlevel.h")
    except LookError:
        header = b""
    match = _HEADER.search(header.decode(errors="replace"))
    return shown(match[1] if match else name.removeprefix("python"))
