"""The routes of the simulated server: those of vLLM, and /simulate to turn its knobs."""

import random
import time
import zlib
from typing import Annotated, cast

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest, make_asgi_app
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.simulate.ask import AnyAsk, ChatAsk, TextAsk
from monitor.simulate.engine import Engine
from monitor.simulate.knobs import KnobError, Knobs
from monitor.simulate.refuse import RefusalError, error_body, read
from monitor.simulate.reply import Reply, Streamed, Whole
from monitor.simulate.scheduler import Job
from monitor.simulate.stream import Shape

_CHANGE = TypeAdapter(dict[str, JsonValue])


class Restart(BaseModel):
    """The body of POST /simulate/restart."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    down: Annotated[float, Field(ge=0)] = 0.0


def create_app(knobs: Knobs, rng: random.Random) -> Starlette:
    """Gives a server of its own: all its state is `app.state.engine`, all its chance comes from `rng`."""
    engine = Engine(knobs, rng)
    app = Starlette(
        routes=[
            Route("/health", _health),
            Route("/version", _version),
            Route("/v1/models", _models),
            Route("/metrics", _metrics),
            Mount("/metrics", _negotiated_metrics),
            Route("/v1/chat/completions", _chat, methods=["POST"]),
            Route("/v1/completions", _completions, methods=["POST"]),
            Route("/simulate", _knobs, methods=["GET"]),
            Route("/simulate", _change, methods=["POST"]),
            Route("/simulate/restart", _restart, methods=["POST"]),
        ],
        middleware=[Middleware(_Outage, engine=engine)],
    )
    app.state.engine = engine
    return app


class _Outage:
    """Answers 503 to everything but /simulate while a restart goes on."""

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app = app
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._engine.down and scope["type"] == "http" and not scope["path"].startswith("/simulate"):
            await _failed(503)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _engine(scope: Scope) -> Engine:
    return cast("Engine", scope["app"].state.engine)


def _failed(status: int) -> Response:
    return PlainTextResponse(f"The simulated server answers {status}.\n", status_code=status)


async def _health(_: Request) -> Response:
    return Response()


async def _version(request: Request) -> Response:
    return JSONResponse({"version": _engine(request.scope).knobs.version})


async def _models(request: Request) -> Response:
    knobs = _engine(request.scope).knobs
    if knobs.models_status:
        return JSONResponse(error_body(knobs.models_status, "No models today."), status_code=knobs.models_status)
    name = {"id": knobs.model, "object": "model", "created": int(time.time()), "owned_by": "vllm", "root": knobs.model}
    model = {**name, "parent": None, "max_model_len": knobs.max_model_len, "permission": []}
    return JSONResponse({"object": "list", "data": [model]})


async def _metrics(request: Request) -> Response:
    engine = _engine(request.scope)
    if engine.knobs.metrics_status:
        return _failed(engine.knobs.metrics_status)
    return Response(generate_latest(engine.registry), headers={"content-type": CONTENT_TYPE_LATEST})


async def _negotiated_metrics(scope: Scope, receive: Receive, send: Send) -> None:
    engine = _engine(scope)
    status = engine.knobs.metrics_status
    await (_failed(status) if status else make_asgi_app(engine.registry))(scope, receive, send)


async def _chat(request: Request) -> Response:
    return await _answer(request, ChatAsk)


async def _completions(request: Request) -> Response:
    return await _answer(request, TextAsk)


async def _answer(request: Request, kind: type[AnyAsk]) -> Response:
    engine = _engine(request.scope)
    try:
        ask = read(await request.body(), kind, engine.knobs)
    except RefusalError as error:
        return JSONResponse(error.body, status_code=error.status)
    job = engine.job(ask.tokens(), ask.length, salt=ask.cache_salt or "", greedy=ask.temperature == 0)
    work = (Streamed if ask.stream else Whole)(engine, job, _shape(engine, ask, job))
    return Reply(engine, work, streams=ask.stream)


def _shape(engine: Engine, ask: AnyAsk, job: Job) -> Shape:
    knobs = engine.knobs
    chat = isinstance(ask, ChatAsk)
    options = ask.stream_options
    return Shape(
        ident=f"{'chatcmpl' if chat else 'cmpl'}-{engine.rng.getrandbits(64):016x}",
        created=int(time.time()),
        model=knobs.model,
        fingerprint=_fingerprint(knobs),
        prompt=job.prompt,
        length=ask.length,
        chat=chat,
        reasoning=knobs.reasoning,
        ids=ask.return_token_ids,
        usage=knobs.usage,
        final_usage=knobs.usage and options is not None and options.include_usage,
        running_usage=knobs.usage and options is not None and options.continuous_usage_stats,
    )


def _fingerprint(knobs: Knobs) -> str:
    settings = f"{knobs.model} {knobs.max_model_len} {knobs.num_gpu_blocks}"
    return f"vllm-{knobs.version}-{zlib.crc32(settings.encode()):08x}"


async def _knobs(request: Request) -> Response:
    return JSONResponse(_engine(request.scope).knobs.model_dump(mode="json"))


async def _change(request: Request) -> Response:
    try:
        _engine(request.scope).change(_CHANGE.validate_json(await request.body()))
    except ValidationError as error:
        return _misread(error, "send a JSON object of knobs")
    except KnobError as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    return await _knobs(request)


async def _restart(request: Request) -> Response:
    try:
        wanted = Restart.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        return _misread(error, 'send nothing or {"down": SECONDS}')
    _engine(request.scope).restart(wanted.down)
    return JSONResponse({"down": wanted.down})


def _misread(error: ValidationError, advice: str) -> Response:
    return JSONResponse({"error": f"{error.errors(include_url=False)[0]['msg']}: {advice}"}, status_code=400)
