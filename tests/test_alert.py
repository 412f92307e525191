"""What a sink is told, and how each way of refusing it comes back."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from examples import AT, closed, finding, open_finding, opened
from goldens import compare
from structlog.testing import capture_logs

from monitor.alert.message import message, sentence, utc
from monitor.alert.registry import SINKS, Attempt, deliver
from monitor.alert.sink import Options
from monitor.incident import LIKELY, incidents
from monitor.model import Cause, Flip, Incident, Near, Standing
from monitor.settings import Sink

GOLDENS = Path(__file__).parent / "goldens"
WEBHOOK = Options("webhook", "https://hooks.example/T0/secret-token")
MESSAGE = message("llama", opened())


async def attempt(handler: Callable[[httpx.Request], httpx.Response], options: Options = WEBHOOK) -> Attempt:
    async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
        return await deliver(MESSAGE, options, client)


def answer(status: int) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: httpx.Response(status)


@pytest.mark.parametrize(("name", "flip"), [("opened", opened()), ("closed", closed())])
def test_message_golden(name: str, flip: Flip) -> None:
    """Receivers can rely on every field of the message, opened and closed."""
    changed = Near("vm.swappiness 0 → 60", AT - 360, "vm.swappiness")
    found = open_finding(finding(near=(changed,), evidence={"effect": "short TTFT +50%"}))
    drift = finding("tuning", kind="tuning", subject="vm.swappiness", remedy="sysctl -w vm.swappiness=0")
    tpot = Standing("users_tpot", 0.03, 0.02, 240.0)
    (incident,) = incidents("llama", [found, open_finding(drift)], (tpot,))

    told = message("llama", flip, ["llama: canary TPOT 10 → 15 ms (+50%)"], (), incident)

    compare(GOLDENS / f"message_{name}.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def test_message_ids() -> None:
    """One flip has one id however often it is delivered; all messages about one trouble share the key."""
    first, again, end = message("llama", opened()), message("llama", opened()), message("llama", closed())
    later = message("llama", opened(at=AT + 7200))
    other = message("llama", opened(finding("regression:llama:short:tpot")))

    assert first["id"] == again["id"]
    assert 4 == len({told["id"] for told in (first, end, later, other)})
    assert {"regression:llama"} == {told["key"] for told in (first, end, later, other)}
    assert [] == first["also"]


def test_times_are_told_in_utc() -> None:
    """A moment is written so that nobody has to ask for the time zone."""
    assert "2027-01-15 08:00:00 UTC" == utc(AT)
    assert "1970-01-01 00:00:00 UTC" == utc(0.9)


def test_settings_and_sinks_agree() -> None:
    """Every kind of sink that the settings accept can be used, and the other way round."""
    annotation = Sink.model_json_schema()["properties"]["kind"]["enum"]

    assert sorted(SINKS) == sorted(annotation)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_webhook_delivers(status: int) -> None:
    """Any 2xx answer means delivered."""
    assert Attempt() == await attempt(answer(status))


async def test_webhook_posts_the_message_once() -> None:
    """The receiver gets exactly one POST of the message as JSON."""
    requests: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200)

    await attempt(take)

    assert [("POST", WEBHOOK.url, "application/json")] == [
        (request.method, str(request.url), request.headers["content-type"]) for request in requests
    ]
    assert MESSAGE == json.loads(requests[0].content)


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(500, False), (502, False), (503, False), (429, False), (408, False), (404, True), (400, True), (401, True)],
)
async def test_webhook_refuses(status: int, permanent: bool) -> None:  # noqa: FBT001 - a table's column
    """A refusal for good is permanent; an overloaded or broken receiver is tried again."""
    assert Attempt(f"HTTP {status}", permanent) == await attempt(answer(status))


async def test_webhook_follows_no_redirect() -> None:
    """A redirect is no delivery: the address in the settings is the one that counts."""
    moved = httpx.Response(302, headers={"Location": "https://elsewhere.example/"})

    assert Attempt("HTTP 302") == await attempt(lambda _request: moved)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (httpx.ConnectError("All connection attempts failed"), "ConnectError: All connection attempts failed"),
        (httpx.ReadTimeout(""), "ReadTimeout: "),
        (httpx.RemoteProtocolError("Server disconnected"), "RemoteProtocolError: Server disconnected"),
    ],
)
async def test_webhook_is_not_there(error: httpx.HTTPError, told: str) -> None:
    """A receiver that cannot be reached is tried again."""

    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    assert Attempt(told) == await attempt(fail)


async def test_a_bug_in_a_sink_parks_it() -> None:
    """Whatever a sink raises becomes a permanent failure; the log has where, and not its text: that may be a secret."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise ValueError(str(request.url))

    with capture_logs() as logs:
        made = await attempt(fail)

    assert Attempt("internal error: ValueError", permanent=True) == made
    assert [("sink failed", "webhook", "ValueError")] == [(log["event"], log["kind"], log["error"]) for log in logs]
    assert "webhook.py" in logs[0]["where"]
    assert WEBHOOK.url not in str(logs)


async def test_an_address_that_is_none() -> None:
    """An address that no request can be made to is refused for good, and its secret is not told."""
    with capture_logs() as logs:
        made = await attempt(answer(200), Options("webhook", "https://host:secret/"))

    assert (Attempt("url is no address", permanent=True), []) == (made, logs)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (None, "no cause is known"),
        (Cause("x 1 → 2", "x", None, 0.0), "perhaps x 1 → 2 since the baseline"),
        (Cause("x 1 → 2", "x", AT, LIKELY - 0.01), "perhaps x 1 → 2 at 2027-01-15 08:00:00 UTC"),
        (Cause("x 1 → 2", "x", AT, LIKELY), "probably x 1 → 2 at 2027-01-15 08:00:00 UTC"),
    ],
)
def test_an_incident_in_one_sentence(cause: Cause | None, said: str) -> None:
    """The sentence blames only what is close in time as probable, and says so where nothing is known."""
    incident = Incident("key", "llama", "llama: slow", AT, "warning", (), (cause,) if cause else ())

    assert f"llama: slow since 2027-01-15 08:00:00 UTC; {said}" == sentence(incident)


async def test_log_sink_tells_the_incident() -> None:
    """Who reads the log sees the incident's sentence, too."""
    incident = Incident("key", "llama", "llama: slow", AT, "warning", (), ())
    with capture_logs() as logs:
        async with httpx.AsyncClient() as client:
            await deliver(message("llama", opened(), incident=incident), Options("log"), client)

    assert ["llama: slow since 2027-01-15 08:00:00 UTC; no cause is known"] == [line["incident"] for line in logs]


async def test_log_sink() -> None:
    """The log sink writes the summary, and who reads the log sees what it is about."""
    with capture_logs() as logs:
        made = await attempt(answer(500), Options("log"))

    assert Attempt() == made
    assert [
        {
            "event": "llama: canary TTFT 50 → 75 ms (+50%) against baseline 'good-day', profile short",
            "status": "firing",
            "severity": "warning",
            "since": "2027-01-15 07:55:00 UTC",
            "log_level": "warning",
        }
    ] == logs
