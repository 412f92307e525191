"""What settings become: connections, canaries, bound collectors. For `serve` and for commands that look once."""

import random
import ssl
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from monitor.canary.asking import Asker, Custom
from monitor.canary.canary import Canary
from monitor.canary.economy import SPARING, Economy
from monitor.canary.profiles import BUILT_IN, Profile, own
from monitor.canary.stopwatch import Stopwatch
from monitor.collect import mlnode
from monitor.collect.alone import alone
from monitor.collect.fetch import LookError, Transport
from monitor.collect.host import look as host
from monitor.collect.process import look as process
from monitor.collect.registry import NODE_COLLECTORS, Look, Seen
from monitor.collect.vllm import look as vllm
from monitor.collect.vllm_log import look as vllm_log
from monitor.detect import budget
from monitor.detect.ruler import Policy
from monitor.devices import sources
from monitor.settings import LOOPBACK, Settings, SettingsError, Target

NEIGHBOURS = {*LOOPBACK, "host.docker.internal", "host.containers.internal"}

STALE_PROBES = 10
"""After so many missed canary intervals a metric is no longer judged: silence is neither finding nor recovery."""


def policy(settings: Settings, every: float | None = None, profiles: Collection[str] = ()) -> Policy:
    """Choose what judging latencies needs of the settings; recorded probes have their own cadence and profiles."""
    every = every or settings.canary.every
    among = budget.arms(len(settings.target), {*settings.canary.profiles, *profiles})
    share = budget.rate(settings.alert.false_pages_per_30_days, among)
    return Policy(settings.alert.opens_after, STALE_PROBES * max(every, SPARING / 5), every, share)


def client(target: Target) -> httpx.AsyncClient:
    """Make the client of one server. Proxies from the environment are not used: a sidecar talks to its neighbour.

    Certificates count that a public authority signed, or one of this machine's own, or one in `ca_file` or in the file
    SSL_CERT_FILE. Raises SettingsError if a file with a key or certificate cannot be used.
    """
    key = target.key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_keepalive_connections=4, keepalive_expiry=600.0)
    transport = Transport(target.uds, _tls(target), limits)
    return httpx.AsyncClient(base_url=target.url, headers=headers, timeout=10.0, trust_env=False, transport=transport)


def fault(target: Target) -> str:
    """Say why a server cannot be asked with these settings, and what to do; empty if it can. Nothing is sent."""
    try:
        target.key()
        _tls(target)
    except SettingsError as error:
        return str(error)
    return ""


def _tls(target: Target) -> ssl.SSLContext:
    tls = httpx.create_ssl_context(trust_env=False)
    tls.load_default_certs()
    if target.ca_file:
        _load("ca_file", target.ca_file, partial(tls.load_verify_locations, target.ca_file))
    if target.client_cert_file:
        cert, key = target.client_cert_file, target.client_key_file or None
        _load("client_cert_file", cert, partial(tls.load_cert_chain, cert, key, _no_password))
    return tls


def _load(setting: str, file: str, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        advice = "it must be in PEM format, a client's with the key that belongs to it"
        raise SettingsError(f"{setting} {file}: not usable ({error.reason or 'not PEM'}); {advice}") from None
    except OSError as error:
        raise SettingsError(f"{setting} {file}: {error.strerror}; correct the path or its rights") from None


def _no_password() -> str:
    """Answer for OpenSSL, which would ask the terminal."""
    raise SettingsError("client_key_file: the key is encrypted; give one without a password, readable by us alone")


def is_local(target: Target) -> bool:
    """Tell whether a server runs on this node, so that the node's settings are its settings.

    "auto" takes sockets, loopback addresses, names of the container host, and names without a dot, which are services
    beside us. "node" is a container beside the server's, from which no process of it is seen.
    """
    host_name = urlsplit(target.url).hostname or ""
    near = bool(target.uds) or host_name in NEIGHBOURS or "." not in host_name
    return near if target.local == "auto" else target.local != "no"


def canary(settings: Settings, connection: httpx.AsyncClient, stopwatch: Stopwatch) -> Canary:
    """Make the canary of one server."""
    rng = random.Random()  # noqa: S311 - jitter and salts need no secrecy
    economy = Economy(settings.canary.max_tokens_per_minute, settings.canary.idle_after)
    asking = asker(settings, connection, rng)
    return Canary(asking, partial(vllm.load, connection), stopwatch, economy, profiles(settings), rng)


def asker(settings: Settings, connection: httpx.AsyncClient, rng: random.Random) -> Asker:
    """Make what asks one server."""
    options = settings.canary
    custom = Custom(_sent(options.headers), options.extra_body, options.priority)
    return Asker(connection, rng, options.timeout, custom)


def profiles(settings: Settings) -> dict[str, Profile]:
    """Give every profile that can be asked for: the built-in ones and the operator's own."""
    mine = {
        name: own(name, one.prompt, one.output_tokens, one.endpoint, _sent(one.headers), one.extra_body)
        for name, one in settings.canary.profile.items()
    }
    return {**BUILT_IN, **mine}


def _sent(headers: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in headers.items()}


def node_looks(settings: Settings) -> dict[str, Look]:
    """Bind the node's collectors: those that read files to the operator's roots, those of devices that are here."""
    roots = host.Roots(settings.host.procfs, settings.host.sysfs)
    files = {source: alone(partial(look, roots)) for source, look in NODE_COLLECTORS.items()}
    here = {name: source.look for name, source in sources(settings).items() if not source.missing}
    return {**files, **here}


def others(settings: Settings, target: Target, asked: Collection[str] = ()) -> dict[str, Look]:
    """Bind what is looked at of one server beside its /metrics, by the names of the collectors, where it can be.

    A collector that is asked for is there in any case: its look tells what stands in the way.
    """
    near, node = is_local(target), bool(target.mlnode_url)
    looks: dict[str, tuple[bool, Look]] = {
        "mlnode": (node, _mlnode(target) if node else _no_mlnode),
        "process": (near and target.local != "node", _process(settings, target) if near else _elsewhere),
        "vllm_log": (bool(target.log_file), _server_log(target)),
    }
    return {name: look for name, (can, look) in looks.items() if can or name in asked}


def _mlnode(target: Target) -> Look:
    """Look at the MLNode without the server's key, which is none of its business."""
    tls = cache(partial(_tls, target))  # made once, which takes its time

    async def look(at: float) -> Seen:
        try:
            node = httpx.AsyncClient(base_url=target.mlnode_url, timeout=10.0, trust_env=False, verify=tls())
        except SettingsError as error:
            raise LookError(str(error)) from None
        async with node:
            return await mlnode.look(node, at)

    return look


async def _no_mlnode(_: float) -> Seen:
    raise LookError(f"no MLNode is known: {mlnode.UNSET}")


def _server_log(target: Target) -> Look:
    return alone(vllm_log.Log(Path(target.log_file)).look) if target.log_file else _no_log


async def _no_log(_: float) -> Seen:
    raise LookError(vllm_log.UNSET)


async def _elsewhere(_: float) -> Seen:
    raise LookError('the server does not run on this node, as its address says: if it does, set local = "yes"')


def _process(settings: Settings, target: Target) -> Look:
    return alone(process.Watch(settings.host.procfs, settings.host.sysfs, _address(target)).look)


def loading(settings: Settings, target: Target) -> Callable[[], bool]:
    """Bind the question whether a server of this target runs and does not listen yet."""
    return partial(process.loading, settings.host.procfs, settings.host.sysfs, _address(target))


def _address(target: Target) -> process.Address:
    parts = urlsplit(target.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host_name = parts.hostname or ""
    # A name of the container host may stand for a gateway that is no address of it, as with Podman; "yes" is taken
    # at its word, for addresses in front of a server that no network namespace has.
    whose = "" if target.uds or host_name in NEIGHBOURS or target.local == "yes" else host_name
    return process.Address(port, host_name in LOOPBACK, target.uds, whose)
