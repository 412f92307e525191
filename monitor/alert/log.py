"""Writes the message to the monitor's own log."""

from collections.abc import Mapping
from typing import Any

import httpx
import structlog

from monitor.alert.sink import Options

_log = structlog.get_logger()


async def send(message: Mapping[str, Any], _options: Options, _client: httpx.AsyncClient) -> None:
    """Log once; cannot fail."""
    tell = _log.warning if message["status"] == "firing" else _log.info
    incident = {"incident": message["incident"]["sentence"]} if message["incident"] else {}
    tell(
        message["summary"],
        status=message["status"],
        severity=message["severity"],
        since=message["since_utc"],
        **incident,
    )
