"""A monitor that watches the node and no server, and one that does not see the server's processes."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from examples import AT
from prometheus_client.parser import text_string_to_metric_families

from monitor import catalog
from monitor.cli.app import app
from monitor.export.board import STALE_BEATS, Board, Periods
from monitor.model import Beat, Snapshot
from monitor.parts import is_local, others
from monitor.settings import Settings
from monitor.settings_source import load
from monitor.web.app import create_app

ONLY = {"MONITOR_HOST__ONLY": "true"}
NODE_EVERY = 15.0
SEEN = Snapshot("host", AT, 0.5, (), (), "")


class Clock:
    """The time that a board sees."""

    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> float:
        """Give the time."""
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(Periods(15.0, 60.0, NODE_EVERY), clock)


@pytest.fixture
async def client(board: Board) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(board, ()))
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as made:
        yield made


async def probes(client: httpx.AsyncClient) -> list[tuple[int, str]]:
    """Give what liveness and readiness say."""
    answers = [await client.get(f"/-/{probe}") for probe in ("healthy", "ready")]
    return [(answer.status_code, answer.text) for answer in answers]


async def heartbeats(client: httpx.AsyncClient) -> list[tuple[dict[str, str], float]]:
    """Give the heartbeats that are exported, with their labels."""
    text = (await client.get("/metrics")).text
    samples = (one for family in text_string_to_metric_families(text) for one in family.samples)
    return [(one.labels, one.value) for one in samples if one.name == catalog.HEARTBEAT_AT]


def test_no_target_where_only_the_host_is_watched() -> None:
    """`host.only` leaves no target, not even this machine's, and without it there is one."""
    assert ({}, 1) == (load(None, ONLY).target, len(load(None, {}).target))


def test_a_target_on_the_command_line() -> None:
    """A server that a command names is talked to all the same."""
    assert ["localhost:1"] == list(load(None, ONLY, ("http://localhost:1",)).target)


@pytest.mark.parametrize(
    "command", ["canary", "check", "tuning check", "tuning script", "baseline capture", "backtest --last 1d"]
)
def test_commands_that_need_a_server(command: str, tmp_path: Path) -> None:
    """A command that needs a server says in one line that there is none."""
    clean = dict.fromkeys(name for name in os.environ if name.startswith("MONITOR_"))
    env = {**clean, **ONLY, "MONITOR_STORE__URL": f"sqlite:///{tmp_path}/monitor.db"}
    result = CliRunner(env=env).invoke(app, command.split())

    assert (2, "") == (result.exit_code, result.stdout)
    assert "monitor: no server is watched here (host.only): choose one with --target URL\n" == result.stderr


def test_config_shares_no_false_pages() -> None:
    """`monitor config` shows the settings, and no budget that nobody shares."""
    result = CliRunner(env=ONLY).invoke(app, ["config"])

    assert (0, True, False) == (result.exit_code, "host.only = true" in result.stdout, "# at most" in result.stdout)


async def test_probes_speak_of_the_node(board: Board, clock: Clock, client: httpx.AsyncClient) -> None:
    """Without servers the monitor is ready once it saw its node, and healthy while it does."""
    before = await probes(client)
    board.show_node((SEEN,))
    after = await probes(client)
    clock.at += STALE_BEATS * NODE_EVERY + 1
    late = await probes(client)

    assert [(503, "no heartbeat lately: the node\n"), (503, "not looked at yet: the node\n")] == before
    assert [(200, "ok\n"), (200, "ok\n")] == after
    assert [(503, "no heartbeat lately: the node\n"), (200, "ok\n")] == late


async def test_heartbeat_of_the_node(board: Board, client: httpx.AsyncClient) -> None:
    """Without servers the looks at the node are the heartbeat; beside a server they are none of its own."""
    before = await heartbeats(client)
    board.show_node((SEEN,))
    alone = await heartbeats(client)
    board.show(Beat("llama", AT, 0.1, (SEEN,), (), (), (), (), None), stored=True)

    assert [] == before
    assert [({}, AT + 0.5)] == alone
    assert [({"target": "llama"}, AT + 0.1)] == await heartbeats(client)


async def test_the_page_speaks_of_the_node(board: Board, client: httpx.AsyncClient) -> None:
    """Where nothing is judged, nothing is said to be well."""
    board.show_node((SEEN,))
    status = (await client.get("/api/v1/status")).json()

    assert ("node only", ["host"]) == (status["verdict"], [one["source"] for one in status["node"]])
    assert "node only" in (await client.get("/")).text


@pytest.mark.parametrize(("local", "near", "seen"), [("yes", True, True), ("node", True, False), ("no", False, False)])
def test_a_server_beside_us(local: str, near: bool, seen: bool) -> None:  # noqa: FBT001 - a row of the table
    """A server can have this node's settings though its processes are not seen; then nobody looks for them."""
    settings = Settings.model_validate({"target": {"llama": {"local": local}}})
    (target,) = settings.target.values()

    assert (near, seen) == (is_local(target), "process" in others(settings, target))
