"""A vLLM server over HTTP: whether it answers us, what it shows, and whether a canary gets through."""

from collections.abc import AsyncIterator, Iterator
from functools import partial

import httpx

from monitor import catalog, contract
from monitor.canary.canary import Server
from monitor.canary.stopwatch import Stopwatch
from monitor.collect.registry import run
from monitor.collect.vllm import look as vllm
from monitor.doctor.advice import WITH_KEY, after_canary, unanswered
from monitor.doctor.check import LIMIT, Check, broken, known, unreadable, why
from monitor.health import is_asleep
from monitor.model import Probe, Snapshot
from monitor.parts import canary, client
from monitor.settings import Settings, SettingsError, Target

STATS = "start vLLM without --disable-log-stats"
NO_MODEL = "set model to the name of a model that it serves"
OWN_LINES = {catalog.VLLM_METRICS, catalog.CONTRACT, catalog.SERVER_INFO, catalog.MODEL}
"""Facts of which a line of their own is told."""


async def server(
    settings: Settings, label: str, target: Target, process: Snapshot | None, *, contained: bool
) -> AsyncIterator[Check]:
    """Try a server; `process` is what is known of its process, `contained` whether we run in a container."""
    try:
        connection = client(target)
    except SettingsError as error:
        yield broken(label, str(error))
        return
    async with connection:
        snapshot = await run("vllm", partial(vllm.look, connection), LIMIT)
        if not snapshot.ok:
            yield unanswered(label, target, snapshot, process, contained=contained)
            return
        for check in _shown(label, target, snapshot):
            yield check
        async for check in _canaries(settings, label, target, connection, snapshot):
            yield check


def _shown(label: str, target: Target, snapshot: Snapshot) -> Iterator[Check]:
    version = known(snapshot, catalog.VERSION) or "of a version that it does not tell"
    yield Check(label, works=True, says=f"{target.shown} answers, vLLM {version}")
    yield _metrics(f"{label} metrics", snapshot)
    yield _contract(f"{label} contract", snapshot)
    yield _server_info(f"{label} server_info", snapshot)
    yield from unreadable(f"{label} facts", [fact for fact in snapshot.facts if fact.name not in OWN_LINES])


def _metrics(name: str, snapshot: Snapshot) -> Check:
    reason = why(snapshot, catalog.VLLM_METRICS)
    if reason:
        return Check(name, works=False, says=reason, add=STATS)
    return Check(name, works=True, says=f"{len(snapshot.readings)} readings")


def _contract(name: str, snapshot: Snapshot) -> Check:
    """Say whether all is there that this version of vLLM must show; without the vital part judgement is blind."""
    value = known(snapshot, catalog.CONTRACT)
    if not value:
        return Check(name, works=None, says=why(snapshot, catalog.CONTRACT))
    version = known(snapshot, catalog.VERSION)
    if value == contract.COMPLETE:
        return Check(name, works=True, says=f"every metric is there that vLLM {version} must show")
    blind = contract.severity(value) == "warning"
    return Check(name, False if blind else None, f"vLLM {version} does not show {value}", contract.REMEDY)


def _server_info(name: str, snapshot: Snapshot) -> Check:
    """Tell of the effective settings, which nobody should open for us: no line says what to add."""
    if known(snapshot, catalog.SERVER_INFO):
        return Check(name, works=True, says="told: VLLM_SERVER_DEV_MODE=1 is set, which is not for production")
    return Check(name, works=None, says=why(snapshot, catalog.SERVER_INFO))


async def _canaries(
    settings: Settings, label: str, target: Target, connection: httpx.AsyncClient, snapshot: Snapshot
) -> AsyncIterator[Check]:
    """Ask once each of what will be watched."""
    model = target.model or known(snapshot, catalog.MODEL)
    if not model:
        reason = why(snapshot, catalog.MODEL)
        yield Check(f"{label} model", works=False, says=reason, add=WITH_KEY if "api_key_file" in reason else NO_MODEL)
        return
    if is_asleep(snapshot):
        yield Check(f"{label} canary", works=None, says="the engine sleeps, and is asked nothing", add="POST /wake_up")
        return
    bird = canary(settings, connection, Stopwatch())
    bird.serves(Server(model, known(snapshot, catalog.VERSION)))
    for profile in settings.canary.profiles:
        probe = await bird.probe(profile)
        yield _canary(f"{label} canary {profile}", probe, target, snapshot)


def _canary(name: str, probe: Probe, target: Target, snapshot: Snapshot) -> Check:
    if probe.outcome == "ok":
        return Check(name, works=True, says=f"{probe.model} answers")
    says = f"{probe.outcome}: {probe.detail}"
    if "[canary]" in says:  # it says already what to set
        return broken(name, says)
    return Check(name, works=False, says=says, add=after_canary(probe, target, known(snapshot, catalog.MODEL)))
