"""Running servers on loopback for tests: a simulated vLLM, and a receiver of webhooks."""

import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.simulate import Engine, Knobs, create_app

QUICK = {"ttft": 0.004, "tpot": 0.001, "jitter": 0.0}


@dataclass
class Simulated:
    """A simulated vLLM that serves at `url`."""

    url: str
    engine: Engine

    def turn(self, **knobs: Any) -> None:
        """Turn knobs while it runs."""
        self.engine.change(knobs)


@dataclass
class Receiver:
    """A webhook receiver that keeps what it got; `status` is what it answers."""

    url: str
    got: list[Mapping[str, Any]] = field(default_factory=list)
    status: int = 200


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application on a free port; gives its URL."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.bind(("127.0.0.1", 0))
    taken.listen()  # who connects from another thread need not wait for the server's first turn
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with taken:
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [taken])
            yield f"http://127.0.0.1:{taken.getsockname()[1]}"
            server.should_exit = True


@asynccontextmanager
async def simulated(**knobs: Any) -> AsyncIterator[Simulated]:
    """Run a simulated vLLM with quick figures."""
    app = create_app(Knobs().changed({**QUICK, **knobs}), random.Random(1))
    async with running(app) as url:
        yield Simulated(url, app.state.engine)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Run a webhook receiver."""
    kept = Receiver("")

    async def hook(request: Request) -> Response:
        if kept.status < 300:
            kept.got.append(await request.json())
        return Response(status_code=kept.status)

    async with running(Starlette(routes=[Route("/hook", hook, methods=["POST"])])) as url:
        kept.url = f"{url}/hook"
        yield kept
