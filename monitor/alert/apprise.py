"""Tells a service that apprise knows: chats, mail, phones. Apprise blocks, so each address has a thread of its own."""

import asyncio
import importlib
import re
from collections.abc import Mapping
from functools import cache, partial
from types import ModuleType
from typing import Any

import httpx

from monitor.alert import text
from monitor.alert.sink import Options, SinkError, refused
from monitor.thread import in_thread

MISSING = "apprise is not installed; pip install 'vllm-monitor[notify]'"
TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
"""What apprise calls a severity; what is over is a "success"."""


async def send(message: Mapping[str, Any], options: Options, _client: httpx.AsyncClient) -> None:
    """Tell the service once; raises SinkError unless apprise says that it took the message."""
    kind = TYPES[message["severity"]] if message["status"] == "firing" else "success"
    await _service(options.url).tell(text.title(message), text.body(message), kind)


def fault(url: str) -> str:
    """Say why an address cannot be used here, and what to do; empty if it can. Nothing is sent."""
    try:
        _service(url)
    except SinkError as error:
        return str(error)
    return ""


class _Service:
    """One address. What apprise says of it goes nowhere: an address, and what answers, may hold secrets."""

    def __init__(self, known: Any) -> None:  # noqa: ANN401 - the library is there only where its extra is installed
        self._known = known
        self._running: asyncio.Future[str] | None = None

    async def tell(self, title: str, body: str, kind: str) -> None:
        """Tell once; given up by its caller, the thread goes on, and until it ends no other is begun."""
        if self._running and not self._running.done():
            raise SinkError("the attempt before this one has not ended yet", permanent=False)
        self._running = in_thread(partial(self._notify, title, body, kind), "apprise")
        error = await asyncio.shield(self._running)
        if status := re.search(r"error=([1-5]\d\d)\b", error):
            raise refused(int(status[1]))
        if error:
            raise SinkError("the service did not take it, or was not reached", permanent=False)

    def _notify(self, title: str, body: str, kind: str) -> str:
        """Tell in the thread; gives what apprise says of a failure, which only this class may read."""
        result = self._known.notify(title=title, body=body, notify_type=kind, body_format="text")
        return "" if result else " ".join(["failed", *(entry.message for entry in result.logs())])


@cache
def _service(url: str) -> _Service:
    """Make what talks to an address, once; raises SinkError if apprise is missing or knows no such service."""
    library = _library()
    # Its own limit would bring a pool of threads along that the process waits for when it ends.
    asset = library.AppriseAsset(app_id="vllm-monitor", app_desc="vllm-monitor", app_url="", service_timeout=0)
    known = library.Apprise(asset=asset)
    if not known.add(url):
        raise SinkError("apprise knows no such url; its documentation says how a service's is written", permanent=True)
    if len(known) != 1:
        raise SinkError("url names several services; give each a sink of its own", permanent=True)
    return _Service(known)


def _library() -> ModuleType:
    try:
        return importlib.import_module("apprise")
    except ImportError:
        raise SinkError(MISSING, permanent=True) from None
