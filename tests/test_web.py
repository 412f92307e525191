"""The routes: what scrapers and health checks get."""

from collections.abc import AsyncIterator

import httpx
import pytest
from examples import AT, open_finding
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from monitor import catalog
from monitor.export import Board, Periods
from monitor.model import Beat, Reading, Snapshot
from monitor.web.app import create_app

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
UP = (catalog.VLLM_UP, {"target": "llama"}, 1.0)


class Clock:
    """The time that a board sees."""

    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> float:
        """Give the time."""
        return self.at


def beat(target: str = "llama", error: str = "") -> Beat:
    up = (Reading(catalog.VLLM_UP, float(not error), AT),)
    return Beat(target, AT, 0.1, (Snapshot("vllm", AT, 0.1, up, (), error),), up, (), (), (), None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(Periods(15.0, 60.0, 15.0), clock)


@pytest.fixture
async def client(board: Board) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(board, ["llama", "qwen"]))
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as made:
        yield made


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "text/html", "application/json", "what/ever;q=x"])
async def test_metrics_as_text(board: Board, client: httpx.AsyncClient, accept: str) -> None:
    """Who does not ask for anything better gets Prometheus's text format."""
    board.show(beat(), stored=True)
    answer = await client.get("/metrics", headers={"Accept": accept})

    assert (200, TEXT) == (answer.status_code, answer.headers["content-type"])
    assert UP in [
        (sample.name, sample.labels, sample.value) for family in parse_text(answer.text) for sample in family.samples
    ]


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=1.0.0", PROMETHEUS])
async def test_metrics_as_openmetrics(board: Board, client: httpx.AsyncClient, accept: str) -> None:
    """Prometheus itself gets OpenMetrics."""
    board.show(beat(), stored=True)
    answer = await client.get("/metrics", headers={"Accept": accept})

    assert (200, OPENMETRICS) == (answer.status_code, answer.headers["content-type"])
    families = list(parse_openmetrics(answer.text))  # type: ignore[no-untyped-call] # left untyped
    assert UP in [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


async def test_the_monitor_shows_its_own_process(client: httpx.AsyncClient) -> None:
    """Our own memory and CPU are shown from the start."""
    text = (await client.get("/metrics")).text

    assert {"process_resident_memory_bytes", "process_cpu_seconds"} <= {family.name for family in parse_text(text)}


async def test_metrics_are_read_only(client: httpx.AsyncClient) -> None:
    """Nothing can be changed over HTTP, and what is not there says so."""
    assert 405 == (await client.post("/metrics")).status_code
    assert 404 == (await client.get("/nothing")).status_code


async def test_healthy_while_every_heart_beats(board: Board, client: httpx.AsyncClient, clock: Clock) -> None:
    """Healthy is 200 only while no heart has missed three beats, and names those that have."""

    async def healthy() -> tuple[int, str]:
        answer = await client.get("/-/healthy")
        return answer.status_code, answer.text

    assert (503, "no heartbeat lately: llama, qwen\n") == await healthy()
    board.show(beat("llama"), stored=True)
    assert (503, "no heartbeat lately: qwen\n") == await healthy()
    board.show(beat("qwen"), stored=True)
    assert (200, "ok\n") == await healthy()
    clock.at = AT + 45
    assert (200, "ok\n") == await healthy()
    clock.at = AT + 45.1
    assert (503, "no heartbeat lately: llama, qwen\n") == await healthy()


async def test_ready_once_every_target_was_looked_at(board: Board, client: httpx.AsyncClient, clock: Clock) -> None:
    """Ready is 503 until each target was really looked at, and 200 from then on."""

    async def ready() -> tuple[int, str]:
        answer = await client.get("/-/ready")
        return answer.status_code, answer.text

    assert (503, "not looked at yet: llama, qwen\n") == await ready()
    board.show_open("llama", (open_finding(),), AT)
    board.show_open("qwen", (), AT)
    assert (503, "not looked at yet: llama, qwen\n") == await ready()
    board.show(beat("llama"), stored=True)
    assert (503, "not looked at yet: qwen\n") == await ready()
    board.show(beat("qwen"), stored=True)
    clock.at = AT + 1e6
    assert (200, "ok\n") == await ready()


async def test_a_server_that_is_down_makes_us_neither_unhealthy_nor_unready(
    board: Board, client: httpx.AsyncClient
) -> None:
    """The monitor's health is its own: a restart of it would not mend the server."""
    for target in ("llama", "qwen"):
        board.show(beat(target, "does not answer"), stored=False)

    assert [200, 200] == [(await client.get(path)).status_code for path in ("/-/healthy", "/-/ready")]
