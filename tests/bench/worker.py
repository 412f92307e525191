"""A client in a process of its own: `python worker.py CLIENT URL` asks what it is told to, and tells what it measured.

A line of JSON in, a line of JSON out. It runs in the environment of the client, whatever that is, so it imports only
the standard library, and the client's library by name when it is asked for. Each client reports in its own way:

- sockets: asyncio's streams alone, the clock started before the write, each HTTP chunk stamped, read afterwards
- httpx: `client.stream`, the clock started before the call, each line stamped, read afterwards
- openai: what users write, the clock started before the call, TTFT at the first content that is not empty
- vllm: the request function of `vllm bench serve`, and its formula of TPOT
- guidellm: its OpenAI backend and its statistics of a request; of its two times per token the one that leaves out TTFT
"""

import asyncio
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from truth import Figures

Ask = Callable[[str], Awaitable[Figures]]
Client = Callable[[str], AbstractAsyncContextManager[Ask]]

MODEL = "tiny"
PATH = "/v1/chat/completions"
MOST_TOKENS = 16
PATIENCE = 20.0
"""Seconds until a request is given up."""


def body(prompt: str) -> dict[str, Any]:
    """Ask as the canary does: every field that makes figures better."""
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": MOST_TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "temperature": 0,
        "ignore_eos": True,
        "min_tokens": MOST_TOKENS,
        "cache_salt": "8f3c1d2e4b5a6978",
    }


@asynccontextmanager
async def sockets(url: str) -> AsyncIterator[Ask]:
    """Ask over a socket of one's own."""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)

    async def ask(prompt: str) -> Figures:
        content = json.dumps(body(prompt)).encode()
        top = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
        began = time.perf_counter()
        writer.write(top.encode() + b"\r\n\r\n" + content)
        await reader.readuntil(b"\r\n\r\n")
        events = []
        while size := int(await reader.readline(), 16):
            data = await reader.readexactly(size + 2)
            events.append((time.perf_counter(), data))
        await reader.readline()
        return figures(began, events)

    try:
        yield ask
    finally:
        writer.close()


@asynccontextmanager
async def httpx(url: str) -> AsyncIterator[Ask]:
    """Ask with httpx and nothing around it."""
    library: Any = importlib.import_module("httpx")
    async with library.AsyncClient(base_url=url, timeout=PATIENCE) as client:

        async def ask(prompt: str) -> Figures:
            began = time.perf_counter()
            async with client.stream("POST", PATH, json=body(prompt)) as response:
                lines = [(time.perf_counter(), line.encode()) async for line in response.aiter_lines()]
            return figures(began, lines)

        yield ask


@asynccontextmanager
async def openai(url: str) -> AsyncIterator[Ask]:
    """Ask with OpenAI's client."""
    library: Any = importlib.import_module("openai")
    async with library.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:

        async def ask(prompt: str) -> Figures:
            times, tokens = [], None
            began = time.perf_counter()
            stream = await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": prompt}],
                max_tokens=MOST_TOKENS,
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    times.append(time.perf_counter())
                if chunk.usage:
                    tokens = chunk.usage.completion_tokens
            return over(began, times, tokens)

        yield ask


@asynccontextmanager
async def vllm(url: str) -> AsyncIterator[Ask]:
    """Ask with the request function of `vllm bench serve`, in a session made as there."""
    aiohttp: Any = importlib.import_module("aiohttp")
    library: Any = importlib.import_module("vllm.benchmarks.lib.endpoint_request_func")
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0, ttl_dns_cache=300, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, trust_env=True) as session:

        async def ask(prompt: str) -> Figures:
            asked = library.RequestFuncInput(
                prompt=prompt,
                api_url=url + PATH,
                prompt_len=MOST_TOKENS,
                output_len=MOST_TOKENS,
                model=MODEL,
                ignore_eos=True,
            )
            got = await library.async_request_openai_chat_completions(asked, session)
            if not got.success:
                raise RuntimeError(got.error)
            tokens = got.output_tokens
            return Figures(got.ttft, (got.latency - got.ttft) / (tokens - 1) if tokens > 1 else None, got.latency)

        yield ask


@asynccontextmanager
async def guidellm(url: str) -> AsyncIterator[Ask]:
    """Ask with GuideLLM's backend, driven as its workers do."""
    backends: Any = importlib.import_module("guidellm.backends.openai.http")
    options: Any = importlib.import_module("guidellm.schemas.backends")
    schemas: Any = importlib.import_module("guidellm.schemas")
    backend = backends.OpenAIHTTPBackend(options.OpenAIHTTPBackendArgs(target=url, model=MODEL))
    await backend.process_startup()

    async def ask(prompt: str) -> Figures:
        request = schemas.GenerationRequest(columns={"text_column": [prompt]})
        info = schemas.RequestInfo(request_id=request.request_id)
        response: Any = None
        async for got, _ in backend.resolve(request, info):
            response = got or response
        info.timings.resolve_end, info.status = time.time(), "completed"
        stats = response.compile_stats(request, info)
        per_token, first = stats.inter_token_latency_ms, stats.time_to_first_token_ms
        return Figures(first and first / 1e3, per_token and per_token / 1e3, stats.request_latency)

    try:
        yield ask
    finally:
        await backend.process_shutdown()


def figures(began: float, lines: Iterable[tuple[float, bytes]]) -> Figures:
    """Read stamped events by the canary's definition, in the simplest way that holds for this bench."""
    times, tokens = [], 0
    for at, line in lines:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line.removeprefix(b"data: "))
        counted = (chunk.get("usage") or {}).get("completion_tokens")
        grown, tokens = (counted or 0) > tokens, counted or tokens
        if chunk["choices"] and (grown if counted is not None else speaks(chunk["choices"][0]["delta"])):
            times.append(at)
    return over(began, times, tokens)


def speaks(delta: Mapping[str, object]) -> bool:
    """Tell by a delta's shape whether it brings a token."""
    return "role" not in delta or any(delta.get(key) for key in ("content", "reasoning", "reasoning_content"))


def over(began: float, times: list[float], tokens: int | None) -> Figures:
    """Turn the times of tokens into figures."""
    if not times:
        return Figures()
    tpot = (times[-1] - times[0]) / (tokens - 1) if tokens and tokens > 1 else None
    return Figures(times[0] - began, tpot, times[-1] - began)


class Wire:
    """Lines of JSON to whoever started this process; what libraries print goes to stderr from now on."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def tell(self, **document: object) -> None:
        """Write one line."""
        self._out.write(json.dumps(document) + "\n")
        self._out.flush()


async def answer(package: str, clients: AbstractAsyncContextManager[Mapping[str, Ask]]) -> None:
    """Tell the package's version, then ask with the client and the prompt that each line names, until lines end."""
    wire = Wire()
    try:
        async with clients as asks:
            wire.tell(version=version(package) if package else platform.python_version())
            while line := await asyncio.to_thread(sys.stdin.readline):
                wire.tell(**await answered(asks, json.loads(line)))
    except Exception as error:  # noqa: BLE001 - why a foreign client cannot be had is a row of the table
        wire.tell(error=words(error))


async def answered(asks: Mapping[str, Ask], told: Mapping[str, str]) -> dict[str, object]:
    """Ask once; a failure is an answer."""
    try:
        async with asyncio.timeout(PATIENCE):
            return asdict(await asks[told["client"]](told["prompt"]))
    except Exception as error:  # noqa: BLE001 - what a foreign client dies of is counted, and stops nothing
        return {"error": words(error)}


def words(error: Exception) -> str:
    """Put an error in a line."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[-1]


CLIENTS: dict[str, Client] = {client.__name__: client for client in (sockets, httpx, openai, vllm, guidellm)}


@asynccontextmanager
async def one(name: str, url: str) -> AsyncIterator[Mapping[str, Ask]]:
    """Be one client."""
    async with CLIENTS[name](url) as ask:
        yield {name: ask}


if __name__ == "__main__":
    asyncio.run(answer(sys.argv[1] if sys.argv[1] != "sockets" else "", one(*sys.argv[1:])))
