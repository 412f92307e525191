"""What the monitor needs of this machine, whatever it watches: a store, an address, descriptors, the time."""

import asyncio
import math
import resource
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from monitor import catalog
from monitor.alert.message import utc
from monitor.collect.fetch import LookError, get
from monitor.doctor.check import Check, broken
from monitor.rules.load import load
from monitor.settings import Settings, SettingsError, Sink
from monitor.sinks import options
from monitor.store.schema import StoreError
from monitor.store.store import Store
from monitor.web.listening import listen

LITTLE_SPACE = 200 * 2**20
"""Bytes free below which the store is about to be in trouble: a month of history of one server takes half of it."""
FEW_DESCRIPTORS = 256
"""Files and connections that may be open at once, and suffice for some dozen servers."""
FIRST_DAY = 1_767_225_600.0
"""The first of January 2026: a clock that says less was never set."""
SLACK = 60.0
OWN_NAMESPACE = Path("/proc/self/ns/pid")
OF_THE_HOST = "pid:[4026531836]"
"""The namespace of the host's own processes, which the kernel always numbers so."""
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
DOCKER_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the monitor runs: whether in a container, what it may open, what time it is (Unix seconds)."""

    contained: bool
    docker: bool
    descriptors: float
    now: float


@dataclass(frozen=True, slots=True)
class Stored:
    """The store, as far as it could be used: whether it knows of the future, and how messages to the sinks fared.

    `failed` counts by sink those that could not be delivered yet; `took` are the sinks that took one.
    """

    check: Check
    future: bool = False
    failed: Mapping[str, int] = field(default_factory=dict)
    took: frozenset[str] = frozenset()


def machine() -> Machine:
    """See where we are."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Machine(
        contained=is_contained(OWN_NAMESPACE, CONTAINER_MARKS),
        docker=DOCKER_SOCKET.exists(),
        descriptors=math.inf if soft == resource.RLIM_INFINITY else soft,
        now=time.time(),
    )


def is_contained(namespace: Path, marks: Iterable[str]) -> bool:
    """Tell whether we are in a container; a machine that was made of an image has its marks, too."""
    with suppress(OSError):
        if str(namespace.readlink()) == OF_THE_HOST:
            return False
    return any(Path(mark).exists() for mark in marks)


def store(settings: Settings, now: float) -> Stored:
    """Open the store as `serve` does, and read it; blocking."""
    try:
        opened = Store(settings.store.url.get_secret_value())
        try:
            return _read(opened, settings, now)
        finally:
            opened.close()
    except StoreError as error:
        return Stored(broken("store", str(error), "mend that, or set another [store] url"))


def _read(opened: Store, settings: Settings, now: float) -> Stored:
    where, count = opened.where, len(opened.baselines.all())
    waiting = opened.outbox.due(math.inf)
    parked = {message.sink for message in waiting if message.attempts}  # the others of its sink wait behind it
    failed = Counter(message.sink for message in waiting if message.sink in parked)
    future = any(opened.history.probes(target, now + SLACK) for target in settings.target)
    folder = Path(where).parent
    free = shutil.disk_usage(folder).free if folder.is_dir() else LITTLE_SPACE
    if free < LITTLE_SPACE:
        check = Check("store", works=False, says=f"{where}: only {free >> 20} MiB free", add="free some disk space")
    else:
        check = Check("store", works=True, says=f"{where}, {count} baseline{'' if count == 1 else 's'}")
    return Stored(check, future, failed, opened.outbox.took())


def clock(now: float, *, future: bool) -> Check:
    """Say whether the time can be right; `future` tells that something is stored that is yet to come."""
    add = "set it, and let chrony, ntpd or systemd-timesyncd keep it"
    if now < FIRST_DAY:
        return Check("clock", works=False, says=f"it says {utc(now)}", add=add)
    if future:
        says = f"it says {utc(now)}, and what the store holds is later: it was set back"
        return Check("clock", works=False, says=says, add=add)
    return Check("clock", works=True, says=f"it says {utc(now)}")


def descriptors(most: float) -> Check:
    """Say whether enough files may be open at once."""
    if most >= FEW_DESCRIPTORS:
        return Check("files", works=True, says=f"{most:.0f} may be open at once")
    says, add = f"only {most:.0f} may be open at once", f"ulimit -n {FEW_DESCRIPTORS}, or LimitNOFILE= in the unit"
    return Check("files", works=False, says=says, add=add)


def rules(settings: Settings) -> Check:
    """Say whether the tuning rules can be read."""
    try:
        book = load(settings.tuning)
    except SettingsError as error:
        return broken("rules", ", ".join(str(error).splitlines()), "correct that file, or [tuning]")
    return Check("rules", works=True, says=f"{len(book.rules)} tuning rules in force")


async def web(address: str) -> Check:
    """Say whether the address to serve on is free, or already a monitor's."""
    try:
        listen(address).close()
    except SettingsError as error:
        if await _is_monitor(address):
            return Check("web", works=True, says=f"{address}: a monitor serves here now")
        return broken("web", str(error))
    return Check("web", works=True, says=f"{address} can be served on")


async def _is_monitor(address: str) -> bool:
    host, _, port = address.rpartition(":")
    near = f"http://{'127.0.0.1' if host in {'', '0.0.0.0'} else host}:{port}"  # noqa: S104 - compared, not bound
    try:
        async with asyncio.timeout(2.0), httpx.AsyncClient(base_url=near, trust_env=False) as client:
            return catalog.BUILD_INFO in (await get(client, "/metrics")).text
    except (LookError, TimeoutError, httpx.InvalidURL):
        return False


def docker_socket(here: Machine) -> list[Check]:
    """Warn of a right that nothing here needs."""
    if not (here.docker and here.contained):
        return []
    says = f"{DOCKER_SOCKET} is mounted here, and the monitor has no use for it"
    return [Check("docker", None, says, "take it away: who can write to it is root on the host")]


def sinks(settings: Settings, stored: Stored) -> list[Check]:
    """Say what is told of findings to whom, by what is set and stored: nothing is sent to find out."""
    silent = settings.alert.paging == "shadow"
    return [_sink(name, one, stored, silent=silent) for name, one in settings.alert.sink.items()]


def _sink(own: str, sink: Sink, stored: Stored, *, silent: bool) -> Check:
    name, kind, failed = f"sink {own}", sink.kind, stored.failed.get(own)
    try:
        options(sink)
    except SettingsError as error:
        return broken(name, str(error))
    if failed:
        says = f"{kind}: {failed} message{'s' if failed > 1 else ''} could not be delivered yet"
        return Check(name, works=False, says=says, add="see why in the log of monitor serve, and correct url")
    if silent:
        says = f"{kind}: paging is in shadow, so that it is told nothing"
        return Check(name, works=None, says=says, add='set [alert] paging = "on"')
    if own in stored.took:
        return Check(name, works=True, says=f"{kind}: it took messages, and none failed since")
    return Check(name, works=None, says=f"{kind}: not tried yet: no message was sent to it, as far as is stored")
