"""Which sinks there are, and the one way to use them: a failure comes back as a value."""

import asyncio
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import structlog

from monitor.alert import apprise, log, webhook
from monitor.alert.sink import Options, SinkError

SINKS = {"apprise": apprise.send, "log": log.send, "webhook": webhook.send}
LIMIT = 30.0
"""Seconds that one attempt may take; mail servers like to think about it."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went; `error` empty means delivered."""

    error: str = ""
    permanent: bool = False


def fault(options: Options) -> str:
    """Say why a sink cannot be used here, and what to do; empty if it can. Nothing is sent."""
    return apprise.fault(options.url) if options.kind == "apprise" else ""


async def deliver(message: Mapping[str, Any], options: Options, client: httpx.AsyncClient) -> Attempt:
    """Send one message once."""
    try:
        async with asyncio.timeout(LIMIT):
            await SINKS[options.kind](message, options, client)
    except SinkError as error:
        return Attempt(str(error), error.permanent)
    except TimeoutError:
        return Attempt(f"no answer within {LIMIT:g} s")
    except Exception as error:  # noqa: BLE001 - a sink's bug must not stop the others; it is told here and counted
        name = type(error).__name__
        where = "".join(traceback.format_tb(error.__traceback__))  # without its text, which may hold an address
        _log.error("sink failed", kind=options.kind, error=name, where=where)
        return Attempt(f"internal error: {name}", permanent=True)
    return Attempt()
