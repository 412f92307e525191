"""A plain HTTP server on loopback that answers what a test tells it to, right or wrong, or never."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

TLS_HELLO = b"\x16"
Handler = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, head: str = "200 OK", kind: str = "text/plain") -> Handler:
    """Answer every request with one body."""

    async def handler(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return handler


async def silent(_writer: asyncio.StreamWriter) -> None:
    """Accept, and never answer."""
    await asyncio.Event().wait()


METRICS = answer(b'vllm:num_requests_running{engine="0"} 0\n')
MODELS = answer(b'{"data":[{"id":"tiny"}]}', kind="application/json")
VERSION = answer(b'{"version":"0.32.0"}', kind="application/json")
GOOD = {"/metrics": METRICS, "/v1/models": MODELS, "/version": VERSION}
CHAT = "/v1/chat/completions"


def chat(handler: Handler) -> dict[str, Handler]:
    """Behave well but for the answers to requests."""
    return {**GOOD, CHAT: handler}


async def request_line(reader: asyncio.StreamReader) -> bytes:
    """Read a line; nothing where TLS is spoken, whose random bytes may hold blanks, line ends, or none."""
    first = await reader.read(1)
    return b"" if first == TLS_HELLO else first + await reader.readline()


@asynccontextmanager
async def listening(routes: dict[str, Handler], tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve routes, whatever they do; gives host and port."""
    tasks = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            while (line := await request_line(reader)).count(b" ") == 2:
                length = 0
                while (head := await reader.readline()).strip():
                    if head.lower().startswith(b"content-length:"):
                        length = int(head.split(b":")[1])
                await reader.readexactly(length)
                path = line.split()[1].decode().split("?")[0].rstrip("/")
                await routes.get(path, answer(b"{}", "404 Not Found"))(writer)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
