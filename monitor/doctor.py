"""Which parts can work here, which cannot, and exactly what to add: one line each."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from monitor import catalog, contract, mlnode
from monitor.canary.canary import Server
from monitor.canary.stopwatch import Stopwatch
from monitor.collect.registry import run
from monitor.collect.vllm import look as vllm
from monitor.devices import Source, sources
from monitor.model import Snapshot
from monitor.parts import canary, client, node_looks, others
from monitor.settings import LOOPBACK, Settings, SettingsError, Target
from monitor.store.schema import StoreError
from monitor.store.store import Store

LIMIT = 10.0
LITTLE_SPACE = 200 * 2**20
"""Bytes free below which the store is about to be in trouble: a month of history of one server takes half of it."""
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried. `works` None means: not here, and only a trouble if you expected it."""

    name: str
    works: bool | None
    says: str
    add: str = ""


async def examine(settings: Settings) -> AsyncIterator[Check]:
    """Try everything that the monitor needs, from the store to one canary, and yield each result as it is known."""
    in_container = _in_container()
    for key in settings.not_yet():
        yield Check("settings", None, f"{key} is set, but this version does not act on it")
    yield await asyncio.to_thread(_store, settings)
    for name, target in settings.target.items():
        async for check in _target(settings, name, target, in_container=in_container):
            yield check
        if target.mlnode_url:
            yield await _mlnode(settings, f"target {name} mlnode", target)
        if target.log_file:
            yield await _log(settings, f"target {name} log", target)
        for check in await _process(settings, f"target {name} process", target):
            yield check
    for check in await _host(settings, in_container=in_container):
        yield check
    for name, source in sources(settings).items():
        yield await _devices(name, source)


def _in_container() -> bool:
    return any(Path(mark).exists() for mark in CONTAINER_MARKS)


def _store(settings: Settings) -> Check:
    try:
        store = Store(settings.store.url.get_secret_value())
    except StoreError as error:
        return Check("store", works=False, says=str(error), add="make the folder writable, or set another [store] url")
    where, baselines = store.where, len(store.baselines.all())
    store.close()
    folder = Path(where).parent
    if folder.is_dir() and (free := shutil.disk_usage(folder).free) < LITTLE_SPACE:
        return Check("store", works=False, says=f"{where}: only {free >> 20} MiB free", add="free some disk space")
    return Check("store", works=True, says=f"{where}, {baselines} baselines")


async def _target(settings: Settings, name: str, target: Target, *, in_container: bool) -> AsyncIterator[Check]:
    label = f"target {name}"
    try:
        connection = client(target)
    except SettingsError as error:
        yield Check(label, works=False, says=str(error), add="correct api_key_file")
        return
    async with connection:
        snapshot = await run("vllm", partial(vllm.look, connection), LIMIT)
        if not snapshot.ok:
            yield Check(
                label, works=False, says=snapshot.error, add=_advice(target, snapshot.error, in_container=in_container)
            )
            return
        yield Check(label, works=True, says=f"{target.shown} answers, vLLM {_fact(snapshot, catalog.VERSION)}")
        yield _metrics(label, snapshot)
        yield _contract(label, snapshot)
        model = target.model or _fact(snapshot, catalog.MODEL)
        if not model:
            yield Check(f"{label} model", works=False, says=_why(snapshot, catalog.MODEL), add="set model, or a key")
            return
        bird = canary(settings, connection, Stopwatch())
        bird.serves(Server(model, _fact(snapshot, catalog.VERSION)))
        probe = await bird.probe(settings.canary.profiles[0])
        says = f"{model} answers" if probe.outcome == "ok" else f"{probe.outcome}: {probe.detail}"
        yield Check(
            f"{label} canary", probe.outcome == "ok", says, "" if probe.outcome == "ok" else "see the server's log"
        )


def _advice(target: Target, error: str, *, in_container: bool) -> str:
    if target.uds:
        return "start vLLM with --uds, correct uds, and in a container mount the socket's folder"
    if in_container and "refused" in error and urlsplit(target.url).hostname in LOOPBACK:
        return (
            "inside a container localhost is the container itself: use the server's service name, "
            "or http://host.docker.internal:PORT"
        )
    return "start vLLM, or correct the target's url"


def _metrics(label: str, snapshot: Snapshot) -> Check:
    why = _why(snapshot, catalog.VLLM_METRICS)
    if why:
        return Check(f"{label} metrics", works=False, says=why, add="start vLLM without --disable-log-stats")
    return Check(f"{label} metrics", works=True, says=f"{len(snapshot.readings)} readings")


def _contract(label: str, snapshot: Snapshot) -> Check:
    """Say whether all is there that this version of vLLM must show; without the vital part judgement is blind."""
    name, value = f"{label} contract", _fact(snapshot, catalog.CONTRACT)
    if not value:
        return Check(name, works=None, says=_why(snapshot, catalog.CONTRACT))
    version = _fact(snapshot, catalog.VERSION)
    if value == contract.COMPLETE:
        return Check(name, works=True, says=f"every metric is there that vLLM {version} must show")
    blind = contract.severity(value) == "warning"
    return Check(name, False if blind else None, f"vLLM {version} does not show {value}", contract.REMEDY)


async def _process(settings: Settings, label: str, target: Target) -> list[Check]:
    """Say what can be read of the server's process; what one right would add is one line."""
    look = others(settings, target).get("process")
    if look is None:
        return []
    snapshot = await run("process", look, LIMIT)
    pid = _fact(snapshot, catalog.PROCESS_PID)
    if not pid:
        return [Check(label, works=None, says=snapshot.error or _why(snapshot, catalog.PROCESS_PID))]
    unread: dict[str, list[str]] = {}
    for fact in snapshot.facts:
        if fact.value is None:
            unread.setdefault(fact.why, []).append(fact.name)
    readable = len(snapshot.facts) - sum(map(len, unread.values()))
    says = f"{readable} of {len(snapshot.facts)} facts readable of process {pid}, as uid {os.getuid()}"
    return [Check(label, works=True, says=says), *(_unread(label, why, names) for why, names in unread.items())]


def _unread(label: str, why: str, names: list[str]) -> Check:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    needs = why.removeprefix("needs: ")
    says = f"{names[0]}{more} unreadable"
    return Check(label, None, says, needs) if needs != why else Check(label, None, f"{says}: {why}")


async def _mlnode(settings: Settings, label: str, target: Target) -> Check:
    snapshot = await run("mlnode", others(settings, target)["mlnode"], LIMIT)
    if not snapshot.ok:
        return Check(label, works=False, says=snapshot.error)
    state = _fact(snapshot, catalog.MLNODE_STATE)
    serves = state == mlnode.SERVING
    return Check(label, serves, f"it is in state {state}", "" if serves else mlnode.DEPLOY)


async def _log(settings: Settings, label: str, target: Target) -> Check:
    snapshot = await run("vllm_log", others(settings, target)["vllm_log"], LIMIT)
    if not snapshot.ok:
        return Check(label, works=False, says=snapshot.error)
    told = len(snapshot.readings)
    says = f"{told} readings" if told else "no line of statistics in the last half minute, as when the server is idle"
    return Check(label, works=True, says=f"{target.log_file}: {says}")


async def _host(settings: Settings, *, in_container: bool) -> list[Check]:
    checks = []
    if in_container and str(settings.host.procfs) == "/proc":
        add = "mount /proc:/host/proc:ro and /sys:/host/sys:ro, set MONITOR_HOST__PROCFS and MONITOR_HOST__SYSFS"
        checks.append(Check("host roots", works=None, says="the container's own /proc is read", add=add))
    snapshot = await run("host", node_looks(settings)["host"], LIMIT)
    unread = [fact for fact in snapshot.facts if fact.value is None]
    says = f"{len(snapshot.facts) - len(unread)} of {len(snapshot.facts)} settings readable, as uid {os.getuid()}"
    readable = len(unread) < len(snapshot.facts)
    checks.append(Check("host", readable, says, "" if readable else "correct [host] procfs and sysfs"))
    checks += [Check(f"host {fact.name}", works=None, says=fact.why) for fact in unread]
    return checks


async def _devices(name: str, source: Source) -> Check:
    if source.missing:
        return Check(name, works=None, says=source.missing, add=source.add)
    snapshot = await run(name, source.look, LIMIT)
    if not snapshot.ok:
        return Check(name, works=False, says=snapshot.error)
    listed = _fact(snapshot, f"{name}.devices")
    return Check(name, works=True, says=f"{source.asked} lists {listed}" if listed else f"{source.asked}: facts only")


def _fact(snapshot: Snapshot, name: str) -> str:
    return next((fact.value or "" for fact in snapshot.facts if fact.name == name), "")


def _why(snapshot: Snapshot, name: str) -> str:
    return next((fact.why for fact in snapshot.facts if fact.name == name and fact.value is None), "")
