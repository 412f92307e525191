"""A message as a person reads it on a phone: what and how much, since when, why, what to do."""

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.alert.message import blamed
from monitor.model import Cause

MOST = 3
"""Of what else is wrong and of what changed so many are told: the rest is on the page."""


def title(message: Mapping[str, Any]) -> str:
    """Say how grave it is, or that it is over, and what it is."""
    prefix = f"{message['severity']}: " if message["status"] == "firing" else ""  # what is over says so itself
    return prefix + str(message["summary"])


def body(message: Mapping[str, Any]) -> str:
    """Give the rest, a line for each thing that is known."""
    return "\n".join(_lines(message))


def _lines(message: Mapping[str, Any]) -> Iterator[str]:
    firing = message["status"] == "firing"
    incident = message["incident"] or {}
    causes = [_cause(one) for one in incident.get("causes", ())]
    yield f"since {message['since_utc']}" + ("" if firing else f", closed at {message['at_utc']}")
    yield from (f"also {one}" for one in message["also"][:MOST])
    if said := incident.get("users_said"):
        yield said
    yield from (f"came with {one}" for one in message["came_with"][:MOST])
    if causes:
        yield blamed(causes)
    else:
        yield from (f"changed {one}" for one in message["changed"][:MOST])
    if firing:
        yield f"remedy {causes[0].fix if causes and causes[0].fix else message['remedy']}"


def _cause(document: Mapping[str, Any]) -> Cause:
    return Cause(document["what"], document["cause"], document["at"], document["weight"], document["fix"])
