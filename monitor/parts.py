"""What settings become: connections, canaries, bound collectors. For `serve` and for commands that look once."""

import asyncio
import random
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from functools import partial
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from monitor.canary.asking import Asker, Custom
from monitor.canary.canary import Canary
from monitor.canary.economy import Economy
from monitor.canary.profiles import BUILT_IN, Profile, own
from monitor.canary.stopwatch import Stopwatch
from monitor.collect import command, host, vllm
from monitor.collect.fetch import LookError
from monitor.collect.registry import NODE_COLLECTORS, TOOL_COLLECTORS, Look, Seen
from monitor.settings import LOOPBACK, Settings, Target

NEIGHBOURS = {*LOOPBACK, "host.docker.internal", "host.containers.internal"}


def client(target: Target) -> httpx.AsyncClient:
    """Make the client of one server. Proxies from the environment are not used: a sidecar talks to its neighbour.

    Certificates count that a public authority signed, or one of this machine's own, or one in the file SSL_CERT_FILE.
    """
    key = target.key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_keepalive_connections=4, keepalive_expiry=600.0)
    tls = httpx.create_ssl_context(trust_env=False)
    tls.load_default_certs()
    return httpx.AsyncClient(
        base_url=target.url, headers=headers, timeout=10.0, limits=limits, trust_env=False, verify=tls
    )


def is_local(target: Target) -> bool:
    """Tell whether a server runs on this node, so that the node's settings are its settings.

    "auto" takes loopback addresses, names of the container host, and names without a dot, which are services beside us.
    """
    host_name = urlsplit(target.url).hostname or ""
    near = host_name in NEIGHBOURS or "." not in host_name
    return near if target.local == "auto" else target.local == "yes"


def canary(settings: Settings, connection: httpx.AsyncClient, stopwatch: Stopwatch) -> Canary:
    """Make the canary of one server."""
    rng = random.Random()  # noqa: S311 - jitter and salts need no secrecy
    options = settings.canary
    custom = Custom(_sent(options.headers), options.extra_body, options.priority)
    asker = Asker(connection, rng, options.timeout, custom)
    economy = Economy(options.max_tokens_per_minute, options.idle_after)
    return Canary(asker, partial(vllm.load, connection), stopwatch, economy, profiles(settings), rng)


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
    """Bind the node's collectors: those that read files to the operator's roots, those whose vendor's tool is here."""
    roots = host.Roots(settings.host.procfs, settings.host.sysfs)

    def threaded(look: Callable[[host.Roots, float], Seen]) -> Look:
        running: list[asyncio.Future[Seen]] = []

        async def looked(at: float) -> Seen:
            # A read that hangs keeps its thread: no further one is spent on it.
            if running and not running[0].done():
                raise LookError("the look before this one still hangs in the kernel")
            running[:] = [_in_thread(partial(look, roots, at))]
            return await asyncio.shield(running[0])

        return looked

    files = {source: threaded(look) for source, look in NODE_COLLECTORS.items()}
    tools = {source: look for source, (tool, look) in TOOL_COLLECTORS.items() if command.found(tool)}
    return {**files, **tools}


def _in_thread(look: Callable[[], Seen]) -> asyncio.Future[Seen]:
    """Look in a thread of its own, which hangs alone: the process would wait for a pool's thread before it ends."""
    seen = futures.Future[Seen]()

    def work() -> None:
        try:
            seen.set_result(look())
        except Exception as error:  # noqa: BLE001 - handed on, not handled
            seen.set_exception(error)

    threading.Thread(target=work, name="look", daemon=True).start()
    return asyncio.wrap_future(seen)
