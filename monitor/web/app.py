"""The routes."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import FastAPI, Header, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from jinja2 import Environment, PackageLoader
from prometheus_client.exposition import choose_encoder

from monitor.export.board import Board
from monitor.web.incident import incidents
from monitor.web.status import status
from monitor.web.tuning import Document, tuning


def create_app(board: Board, targets: Sequence[str]) -> FastAPI:
    """Build the web application that shows a board."""
    app = FastAPI(title="vllm-monitor", docs_url="/docs", redoc_url=None)

    page = Environment(loader=PackageLoader("monitor.web"), autoescape=True).get_template("status.html")

    @app.get("/", include_in_schema=False)
    async def landing() -> HTMLResponse:
        return HTMLResponse(page.render(status(board, targets), tuned=tuning(board, targets)["targets"]))

    @app.get("/api/v1/status")
    async def summary() -> Document:
        """Everything the page says, as JSON."""
        return status(board, targets)

    @app.get("/api/v1/incidents")
    async def troubles() -> Document:
        """What is open now: findings that began together, each with one sentence and what may have brought it.

        Causes are ranked by closeness in time (`weight`, 1 at the onset, half of that ten minutes before it), then by
        severity; `at` is null where nobody saw it happen, `fix` empty where nothing is known to be done about it.
        """
        return incidents(board, targets)

    @app.get("/api/v1/tuning")
    async def settings() -> Document:
        """How each tuning rule fares, which settings are not as in the baseline, since when, and what is accepted."""
        return tuning(board, targets)

    @app.get("/metrics")
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        """Everything that is known, in Prometheus's text or OpenMetrics by content negotiation."""
        encode, content_type = choose_encoder(accept)
        return Response(encode(board.registry), media_type=content_type)

    @app.get("/-/healthy")
    async def healthy() -> Response:
        """Answer 200 while every heart beats, 503 when one has missed three beats; without servers, the node's."""
        late = [target for target in targets if not board.alive(target)]
        return _plain(late if targets or board.node_alive() else ["the node"], "no heartbeat lately")

    @app.get("/-/ready")
    async def ready() -> Response:
        """Answer 200 once every target was looked at, or the node where there is none; 503 before."""
        unseen = [target for target in targets if not board.looked(target)]
        return _plain(unseen if targets or board.node() else ["the node"], "not looked at yet")

    return app


def _plain(missing: Sequence[str], what: str) -> Response:
    if missing:
        return PlainTextResponse(f"{what}: {', '.join(missing)}\n", status_code=503)
    return PlainTextResponse("ok\n")
