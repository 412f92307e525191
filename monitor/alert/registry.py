"""Which sinks there are, and the one way to use them: a failure comes back as a value."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import structlog

from monitor.alert import log, webhook
from monitor.alert.sink import Options, SinkError

SINKS = {"log": log.send, "webhook": webhook.send}
LIMIT = 10.0
"""Seconds that one attempt may take."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went; `error` empty means delivered."""

    error: str = ""
    permanent: bool = False


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
        _log.exception("sink failed", kind=options.kind)
        return Attempt(f"internal error: {type(error).__name__}", permanent=True)
    return Attempt()
