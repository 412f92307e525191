"""A Gonka MLNode as its management port shows it: in which state it is."""

import json
import re

import httpx

from monitor import catalog
from monitor.collect.fetch import REFUSED, LookError, get
from monitor.mlnode import SERVING
from monitor.model import Fact, Reading

PATH = "/api/v1/state"
UNSET = "set mlnode_url to the MLNode's management port, as in http://localhost:8080"
"""What to do where no MLNode is known."""
_STATE = re.compile(r"[A-Z][A-Z_]{0,39}")
_ADVICE = "is mlnode_url the management port (8080 by default, 5000 is the one for inference), without a path?"


async def look(client: httpx.AsyncClient, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """See in which state the node is; raises LookError when it does not tell."""
    try:
        answer = await get(client, PATH)
    except LookError as error:
        words = str(error).replace(REFUSED, f"connection refused; {_ADVICE}")
        raise LookError(words) from None
    where = f"{client.base_url}".rstrip("/") + PATH
    if answer.status != httpx.codes.OK:
        raise LookError(f"{where} answers HTTP {answer.status}; {_ADVICE}")
    state = parse(answer.text)
    if not state:
        raise LookError(f"{where} tells no state; {_ADVICE}")
    return (Reading(catalog.MLNODE_SERVING, float(state == SERVING), at),), (Fact(catalog.MLNODE_STATE, state, PATH),)


def parse(text: str) -> str:
    """Give the state that an answer tells; "" if it tells none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):  # ValueError for a number of thousands of digits, too
        return ""
    state = document.get("state") if isinstance(document, dict) else None
    return state if isinstance(state, str) and _STATE.fullmatch(state) else ""
