"""vLLM over HTTP: one filtered scrape of /metrics, /version, /v1/models, /health, and /server_info where it is open."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import httpx

from monitor import catalog, contract
from monitor.collect.exposition import Sample, families, is_openmetrics, parse
from monitor.collect.fetch import Answer, LookError, get
from monitor.collect.vllm import figures
from monitor.collect.vllm.facts import (
    METRICS,
    MODELS,
    SERVER_INFO,
    config_facts,
    info,
    model_facts,
    server_info_facts,
    version_fact,
)
from monitor.collect.vllm.figures import FAMILIES, WANTED, WANTED_LOAD
from monitor.contract import Exposed
from monitor.model import Fact, Load, Reading
from monitor.vllm_names import RUNNING

Seen = tuple[tuple[Reading, ...], tuple[Fact, ...]]
Told = tuple[tuple[Fact, ...], float]
"""Facts, and for how many seconds they hold."""

PREFIX = "vllm:"
PATIENCE = 3.0
HOUR = 3600.0
SOON = 300.0
"""Seconds after which what did not answer in time is asked again: only the first answer takes vLLM long."""
DEAD = {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE}
"""How /health answers when the engine is dead; what a proxy before it may answer says nothing of the engine."""
DENIED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
KEY_REFUSED = "the key is refused; correct api_key_file"
NO_VLLM = "is this a vLLM server?"
ANOTHER = "answers, but is no vLLM"
"""How the error of a look begins, behind the address, where another program was found."""
NO_MODELS = {"HTTP 404", "not JSON", "not a JSON object"}
"""Why /v1/models told nothing, where that is no vLLM's answer: one that wants a key, or fails, may be."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of /metrics: the wanted samples, and the whole text where it had to be read."""

    samples: tuple[Sample, ...]
    text: str | None = None

    def exposed(self) -> Exposed:
        """Tell what is there: of a filtered answer the families that were asked for."""
        labelled = any("engine" in one.labels for one in self.samples if one.name == RUNNING.names[0].family)
        if self.text is None:
            known = (FAMILIES[one.name] for one in self.samples if one.name in FAMILIES)
            return Exposed(dict(known), labelled)
        shown = families(self.text, PREFIX)
        return Exposed(shown, labelled, is_openmetrics(self.text), blank=not self.text.strip())


class Kept:
    """Facts that are asked for again when what they depend on changes, or after a while."""

    def __init__(self) -> None:
        self._facts: tuple[Fact, ...] = ()
        self._key: tuple[object, ...] = ()
        self._until = 0.0

    async def get(self, key: tuple[object, ...], at: float, ask: Callable[[], Awaitable[Told]]) -> tuple[Fact, ...]:
        """Give what was told, or ask: an answer says itself for how many seconds it holds."""
        if key != self._key or at >= self._until:
            self._facts, holds = await ask()
            self._key, self._until = key, at + holds
        return self._facts


class Server:
    """One server that is looked at again and again: what only a start changes is not asked at every look.

    What is not vital is waited for `patience` seconds: it must not cost the look.
    """

    def __init__(self, client: httpx.AsyncClient, patience: float = PATIENCE) -> None:
        self._client = client
        self._patience = patience
        self._kept = Kept(), Kept()

    async def look(self, at: float) -> Seen:
        """See what the server says of itself; raises LookError when /metrics does not answer."""
        kept, self._kept = self._kept, (Kept(), Kept())  # after a look that fails it may be another server that answers
        seen = await self._look(at, *kept)
        self._kept = kept
        return seen

    async def _look(self, at: float, settings: Kept, agreed: Kept) -> Seen:
        client = self._client
        page = await scrape(client, WANTED)
        version = version_fact(*await _json(client, "/version"))
        if version.value is None and not _is_vllm(page.samples):
            raise LookError(f"{client.base_url} answers, but has neither vLLM metrics nor /version; {NO_VLLM}")
        told, exposed = version.value or "", page.exposed()
        models, why = await _json(client, MODELS)
        if why in NO_MODELS and not contract.has_metrics(exposed):
            raise LookError(f"{client.base_url} {ANOTHER} (no vLLM metrics, {MODELS}: {why}); correct the url")
        readings = figures.readings(page.samples, told, at)
        start = next((one.value for one in readings if one.metric == catalog.VLLM_START), None)
        missing = tuple(one.ours for one in contract.absent(told, exposed))
        facts = (
            version,
            *model_facts(models, why),
            *config_facts(page.samples, told, exposed),
            *await agreed.get((told, start, missing), at, partial(_agreed, client, page, told, exposed)),
            *await settings.get((told, start), at, partial(_settings, client, self._patience)),
        )
        healthy = tuple(Reading(catalog.HEALTHY, value, at) for value in await _health(client, self._patience))
        return (*readings, *healthy, info(page.samples, facts, at)), facts


async def look(client: httpx.AsyncClient, at: float) -> Seen:
    """Look at a server once; raises LookError when /metrics does not answer."""
    return await Server(client).look(at)


async def load(client: httpx.AsyncClient) -> Load | None:
    """Give what the server is busy with right now; None if it does not tell."""
    try:
        return figures.load((await scrape(client, WANTED_LOAD)).samples)
    except LookError:
        return None


async def scrape(client: httpx.AsyncClient, wanted: Collection[str]) -> Page:
    """Read the wanted samples; the mounted app filters, and where it cannot the whole exposition is read."""
    filtered = await get(client, "/metrics/", {"name[]": sorted(wanted)})
    samples = parse(filtered.text, wanted) if filtered.status == HTTPStatus.OK else ()
    if _is_vllm(samples):
        return Page(samples)
    # Multi-process expositions cannot be filtered, and the Rust front end has no mounted app.
    text = await _whole(client)
    return Page(parse(text, wanted), text)


async def _whole(client: httpx.AsyncClient) -> str:
    answer = await get(client, METRICS)
    if answer.status != HTTPStatus.OK:
        raise LookError(f"{client.base_url} answers HTTP {answer.status} to /metrics; {_advice(client, answer)}")
    if answer.text.lstrip()[:1] == "<":
        raise LookError(f"{client.base_url} answers HTML to /metrics; {NO_VLLM}")
    return answer.text


def _advice(client: httpx.AsyncClient, answer: Answer) -> str:
    if client.base_url.path.rstrip("/").endswith("/v1"):
        return "leave /v1 off the url"
    if answer.moved:
        return "it leads elsewhere: correct the url"
    if answer.status in DENIED:
        return "what stands before vLLM wants a key: set or correct api_key_file"
    return "see its log" if answer.status in DEAD else NO_VLLM


def _is_vllm(samples: Collection[Sample]) -> bool:
    return any(sample.name.startswith(PREFIX) for sample in samples)


async def _agreed(client: httpx.AsyncClient, page: Page, told: str, exposed: Exposed) -> Told:
    """Hold a server to what its version must show; what is gone is looked for in the whole exposition."""
    if page.text is None and contract.absent(told, exposed):
        exposed = Page(page.samples, await _whole(client)).exposed()
    return (contract.fact(told, exposed),), HOUR


async def _settings(client: httpx.AsyncClient, patience: float) -> Told:
    """Ask for the effective settings, which vLLM gathers when it is first asked: that may take it a while."""
    try:
        async with asyncio.timeout(patience):
            document, why = await _json(client, SERVER_INFO, {"config_format": ["json"]})
    except TimeoutError:
        return server_info_facts({}, f"no answer within {patience:g} s"), SOON
    return server_info_facts(document, why), HOUR


async def _health(client: httpx.AsyncClient, patience: float) -> tuple[float, ...]:
    """Ask whether the engine lives (1) or is dead (0); nothing where that is not told."""
    try:
        async with asyncio.timeout(patience):
            answer = await get(client, "/health")
    except (LookError, TimeoutError):
        return ()
    if answer.status in DEAD:
        return (0.0,)
    return (1.0,) if answer.status == HTTPStatus.OK else ()


async def _json(
    client: httpx.AsyncClient, path: str, params: dict[str, list[str]] | None = None
) -> tuple[Mapping[str, Any], str]:
    """Read a JSON object; an empty one with the reason where there is none."""
    try:
        answer = await get(client, path, params)
    except LookError as error:
        return {}, str(error)
    if answer.status in DENIED:
        with_key = "authorization" in client.headers
        return {}, f"HTTP {answer.status}: {KEY_REFUSED if with_key else 'set api_key_file for this target'}"
    if answer.status != HTTPStatus.OK:
        return {}, f"HTTP {answer.status}"
    try:
        document = json.loads(answer.text)
    except ValueError:
        return {}, "not JSON"
    return (document, "") if isinstance(document, dict) else ({}, "not a JSON object")
