"""Sinks of the kind apprise: real deliveries over loopback, what a phone shows, and no secret anywhere."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from processes import environment, run
from serving import running
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from monitor.alert import text
from monitor.alert.apprise import MISSING
from monitor.alert.registry import Attempt, deliver, fault
from monitor.alert.sink import Options

GOLDENS = Path(__file__).parent / "goldens"
TOKEN = "s3cr3t-token"  # noqa: S105 - no secret at all

# apprise imports imghdr, which Python 3.11 and 3.12 call deprecated and 3.13 does not have.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def message(name: str) -> dict[str, Any]:
    """Give a golden message."""
    told: dict[str, Any] = json.loads((GOLDENS / f"message_{name}.json").read_text(encoding="utf-8"))
    return told


@dataclass
class Service:
    """A service that apprise can speak to as json://; `host` is its address, `got` what came, `status` its answer."""

    host: str = ""
    got: list[Mapping[str, Any]] = field(default_factory=list)
    status: int = 200
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, name: str, path: str = TOKEN) -> Attempt:
        """Deliver a golden message through apprise."""
        async with httpx.AsyncClient() as unused:
            return await deliver(message(name), Options("apprise", f"json://{self.host}/{path}"), unused)


@asynccontextmanager
async def service(status: int = 200) -> AsyncIterator[Service]:
    """Run a service that answers at once."""
    made = Service(status=status)
    made.answers.set()

    async def hook(request: Request) -> Response:
        made.got.append(await request.json())
        made.arrived.set()
        await made.answers.wait()
        return Response(status_code=made.status)

    async with running(Starlette(routes=[Route("/{path:path}", hook, methods=["POST"])])) as url:
        made.host = url.removeprefix("http://")
        yield made


@pytest.mark.parametrize(
    ("name", "kind"), [("opened", "warning"), ("health", "failure"), ("tuning", "failure"), ("closed", "success")]
)
async def test_delivered(name: str, kind: str) -> None:
    """A service gets title, text and how grave it is, once."""
    async with service() as here:
        made = await here.tell(name)

    told = message(name)
    assert Attempt() == made
    assert [(text.title(told), text.body(told), kind)] == [
        (got["title"], got["message"], got["type"]) for got in here.got
    ]


@pytest.mark.parametrize(
    ("name", "title", "body"),
    [
        (
            "opened",
            "warning: llama: canary TTFT 50 → 75 ms (+50%) against baseline 'good-day', profile short",
            [
                "since 2027-01-15 07:55:00 UTC",
                "also llama: canary TPOT 10 → 15 ms (+50%)",
                "users' TPOT +50%, too",
                "probably vm.swappiness 0 → 60 at 2027-01-15 07:54:00 UTC",
                "remedy sysctl -w vm.swappiness=0",
            ],
        ),
        (
            "closed",
            "resolved: llama: canary TTFT 50 → 75 ms (+50%) against baseline 'good-day', profile short",
            [
                "since 2027-01-15 07:55:00 UTC, closed at 2027-01-15 08:10:00 UTC",
                "also llama: canary TPOT 10 → 15 ms (+50%)",
                "users' TPOT +50%, too",
                "probably vm.swappiness 0 → 60 at 2027-01-15 07:54:00 UTC",
            ],
        ),
        (
            "health",
            "critical: llama: vLLM is gone: connection refused",
            [
                "since 2027-01-15 07:55:00 UTC",
                "changed image 0.33 at 2027-01-15 07:50:00 UTC",
                "remedy look at the server's log and whether its process lives",
            ],
        ),
        (
            "tuning",
            "critical: llama: vm.swappiness is 60, should be at most 10",
            [
                "since 2027-01-15 07:55:00 UTC",
                "came with short TTFT +50% since 2027-01-15 07:56:00 UTC",
                "changed image 0.33 at 2027-01-15 07:50:00 UTC",
                "remedy sysctl -w vm.swappiness=10 [guide]",
            ],
        ),
    ],
)
def test_what_a_phone_shows(name: str, title: str, body: list[str]) -> None:
    """A person reads what and how much, since when, the probable cause and the remedy, in a few lines."""
    assert (title, body) == (text.title(message(name)), text.body(message(name)).splitlines())


def test_the_page_shows_a_phone() -> None:
    """What docs/alerts.md shows of a phone is what a message becomes."""
    page = (Path(__file__).parents[1] / "docs" / "alerts.md").read_text(encoding="utf-8")
    told = message("opened")

    assert f"```\n{text.title(told)}\n{text.body(told)}\n```" in page


def test_a_message_of_an_older_version() -> None:
    """What an outbox kept from before users' figures were told can be read, too."""
    old = message("opened")
    del old["incident"]["users"], old["incident"]["users_said"]

    assert "users' TPOT" not in text.body(old)


@pytest.mark.parametrize(
    ("status", "permanent"), [(500, False), (429, False), (408, False), (404, True), (401, True), (400, True)]
)
async def test_refused(status: int, permanent: bool, capfd: pytest.CaptureFixture[str]) -> None:  # noqa: FBT001 - a table's column
    """What the service answers decides as for a webhook; neither log nor terminal see the address."""
    with capture_logs() as logs:
        async with service(status) as here:
            made = await here.tell("opened")

    assert Attempt(f"HTTP {status}", permanent) == made
    assert TOKEN not in str(logs) + "".join(capfd.readouterr())


async def test_nobody_there(capfd: pytest.CaptureFixture[str]) -> None:
    """A service that cannot be reached is tried again."""
    made = await Service("127.0.0.1:9").tell("opened")

    assert Attempt("the service did not take it, or was not reached") == made
    assert TOKEN not in "".join(capfd.readouterr())


async def test_one_that_hangs_is_asked_once() -> None:
    """While an attempt that was given up still hangs no other is begun: threads do not pile up."""
    async with service() as here:
        here.answers.clear()
        first = asyncio.create_task(here.tell("opened"))
        await here.arrived.wait()
        again = await here.tell("opened")
        here.answers.set()

        assert Attempt() == await first
        assert Attempt() == await here.tell("closed")

    assert Attempt("the attempt before this one has not ended yet") == again
    assert 2 == len(here.got)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("json://localhost/s3cr3t", ""),
        ("pigeon://s3cr3t@x", "apprise knows no such url; its documentation says how a service's is written"),
        ("tgram://s3cr3t", "apprise knows no such url; its documentation says how a service's is written"),
        ("json://a/s3cr3t, json://b/s3cr3t", "url names several services; give each a sink of its own"),
    ],
)
def test_addresses(url: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """An address that apprise cannot use is told without sending, and without the address."""
    assert said == fault(Options("apprise", url))
    assert "s3cr3t" not in "".join(capfd.readouterr())


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code as a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment())  # noqa: S603 - our own code


def test_who_does_not_use_it_does_not_import_it() -> None:
    """Without a sink of this kind apprise costs nothing."""
    ended = python("import sys, monitor.serve, monitor.cli.app; sys.exit('apprise' in sys.modules)")

    assert (0, "") == (ended.returncode, ended.stderr)


def config(folder: Path, url: str) -> Path:
    path = folder / "monitor.toml"
    path.write_text(
        f'[alert]\npaging = "on"\n[alert.sink.phone]\nkind = "apprise"\nurl = "{url}"\n'
        f'[target.llama]\nurl = "http://127.0.0.1:9"\n[store]\nurl = "sqlite:///{folder}/m.db"\n'
    )
    return path


WITHOUT = "import sys; sys.modules['apprise'] = None; from monitor.cli import main; main()"
"""The command line, as if the extra were not installed."""


@pytest.mark.alone
def test_without_the_extra(tmp_path: Path) -> None:
    """Without the extra `serve` ends with one line and exit code 2, and the doctor says the same."""
    file, here = str(config(tmp_path, f"json://x/{TOKEN}")), ("--web.listen-address", "127.0.0.1:0")
    served = python(WITHOUT, "serve", "--config", file, *here)
    examined = python(WITHOUT, "doctor", "--config", file, *here)

    assert (2, [f"monitor: alert.sink.phone: {MISSING}"]) == (served.returncode, served.stderr.splitlines())
    says, _, add = MISSING.partition("; ")
    assert f"broken  sink phone: {says}\n        add: {add}\n" in examined.stdout
    assert TOKEN not in served.stdout + served.stderr + examined.stdout + examined.stderr


@pytest.mark.alone
def test_a_wrong_address_is_told_at_the_start(tmp_path: Path) -> None:
    """An address that apprise does not know ends `serve` with one line and exit code 2, without the address."""
    file = config(tmp_path, f"pigeon://{TOKEN}")
    ended = run("serve", "--config", str(file), "--web.listen-address", "127.0.0.1:0")

    assert (2, 1) == (ended.returncode, len(ended.stderr.splitlines()))
    assert ended.stderr.startswith("monitor: alert.sink.phone: apprise knows no such url; ")
    assert TOKEN not in ended.stderr
