"""Runs the engine for one client and sends what it gives, until it ends, the client leaves or the engine is gone."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.simulate.engine import DroppedError, Engine, EngineError
from monitor.simulate.refuse import error_body
from monitor.simulate.scheduler import Job
from monitor.simulate.stream import Shape, event


class Reply(Response):
    """A response that stops its work when the client leaves, and cuts the connection when the work is cancelled."""

    def __init__(self, engine: Engine, work: ASGIApp, *, streams: bool) -> None:
        super().__init__()
        self._engine = engine
        self._work = work
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until the work ends, the client leaves or the engine is gone."""
        work = asyncio.create_task(_run(self._work, scope, receive, send))
        gone = asyncio.create_task(_gone(receive))
        self._engine.work.add(work)
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._engine.work.discard(work)
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
        if work.cancelled() or isinstance(work.exception(), DroppedError):
            await self._cut(send)
        else:
            work.result()

    async def _cut(self, send: Send) -> None:
        """Leaves the answer unfinished: the web server then closes the connection."""
        if not self._streams:
            await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"1")]})


@dataclass(frozen=True, slots=True)
class Streamed:
    """Sends an answer as server-sent events, token by token."""

    engine: Engine
    job: Job
    shape: Shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's signature
        """Opens the stream at once, as vLLM does, and fills it."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            await self._parts(send)
        except EngineError as error:
            await _write(send, error_body(500, str(error)))
        await _write(send, "[DONE]")
        await send({"type": "http.response.body", "body": b""})

    async def _parts(self, send: Send) -> None:
        sent, greeted = 0, not self.shape.chat
        async with aclosing(self.engine.generate(self.job)) as steps:
            async for tokens in steps:
                if not greeted and (tokens or self.engine.knobs.role_delay):
                    await _write(send, self.shape.role())
                    greeted = True
                if tokens:
                    sent += len(tokens)
                    await _write(send, self.shape.part(tokens, sent))
        if self.shape.final_usage:
            await _write(send, self.shape.closing())


@dataclass(frozen=True, slots=True)
class Whole:
    """Sends an answer as one JSON object once it is complete."""

    engine: Engine
    job: Job
    shape: Shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Computes the whole answer, then sends it."""
        await (await self._response())(scope, receive, send)

    async def _response(self) -> JSONResponse:
        answer: tuple[int, ...] = ()
        try:
            async with aclosing(self.engine.generate(self.job)) as steps:
                async for tokens in steps:
                    answer += tokens
        except EngineError as error:
            return JSONResponse(error_body(500, str(error)), status_code=500)
        return JSONResponse(self.shape.whole(answer))


async def _run(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def _gone(receive: Receive) -> None:
    # The body has been read, so the next thing to hear is that the client left.
    await receive()


async def _write(send: Send, data: dict[str, object] | str) -> None:
    await send({"type": "http.response.body", "body": event(data), "more_body": True})
