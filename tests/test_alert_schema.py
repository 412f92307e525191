"""Every message follows the published schema, and can be checked by whoever gets it."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from examples import AT, open_finding, opened
from goldens import compare
from jsonschema import Draft202012Validator
from messages import SCHEMA, faults

from monitor import catalog, health
from monitor.alert.message import message
from monitor.alert.registry import deliver
from monitor.alert.sink import Options
from monitor.alert.webhook import SIGNATURE, signature
from monitor.incident import incidents
from monitor.model import Condition, Finding, Kind, Near, Rule, Ruling, Snapshot
from monitor.settings import Settings
from monitor.tuning import advice

ROOT = Path(__file__).parents[1]
GOLDENS = ROOT / "tests" / "goldens"
PAGE = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
INCIDENT = SCHEMA["properties"]["incident"]["required"]
SECRET = "a signing secret"  # noqa: S105 - no secret at all


def dead() -> Finding:
    """Give what is found of a server that was seen and does not answer."""
    lost = health.Health(seen=True, lost_at=AT - 300)
    snapshot = Snapshot("vllm", AT, 0.0, error="connection refused", refused=True)
    return health.judge(lost, "llama", snapshot, health.Patience(180.0, 0.0), process=False).findings[0]


def swaps() -> Finding:
    """Give what is found of a setting that a rule wants otherwise, with what got slower near its change."""
    ask = Condition(catalog.SWAPPINESS_FACT, "at most", ("10",))
    rule = Rule(
        "host.swappiness", "host", ask, (), "critical", "swapping stalls", "sysctl -w vm.swappiness=10", "guide"
    )
    (found,) = advice.findings("llama", [Ruling(rule, "mismatch", "60")])
    return replace(found, near=(Near("short TTFT +50%", AT - 240),))


def said(name: str) -> dict[str, Any]:
    """Give a message of a kind, as a beat words it."""
    found = {"health": dead, "tuning": swaps}[name]()
    incident = next(iter(incidents("llama", [open_finding(found)])), None)
    return message("llama", opened(found), (), ("image 0.33 at 2027-01-15 07:50:00 UTC",), incident)


@pytest.mark.parametrize("name", ["health", "tuning"])
def test_golden(name: str) -> None:
    """Receivers can rely on every field of a message about health, and about a setting."""
    compare(GOLDENS / f"message_{name}.json", json.dumps(said(name), indent=1, ensure_ascii=False) + "\n")


def test_schema_is_one() -> None:
    """The schema is a JSON schema itself."""
    Draft202012Validator.check_schema(SCHEMA)

    assert message("llama", opened())["schema"] == SCHEMA["properties"]["schema"]["const"]


@pytest.mark.parametrize("file", sorted(GOLDENS.glob("message_*.json")), ids=lambda file: file.stem)
def test_messages_follow_the_schema(file: Path) -> None:
    """Each kind of message, beginnings and ends, is as the schema says, and the schema knows each of its fields."""
    assert [] == faults(json.loads(file.read_text(encoding="utf-8")))


def test_each_kind_has_a_golden() -> None:
    """Beginnings of each kind and an end are held fast."""
    told = [json.loads(file.read_text(encoding="utf-8")) for file in GOLDENS.glob("message_*.json")]

    assert {(kind, "firing") for kind in get_args(Kind)} | {("regression", "resolved")} == {
        (one["kind"], one["status"]) for one in told
    }


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"status": "open"}, ["$.status: 'open' is not one of ['firing', 'resolved']"]),
        (
            {"since_utc": "today"},
            [f"$.since_utc: 'today' does not match {SCHEMA['properties']['at_utc']['pattern']!r}"],
        ),
        (
            {"incident": {"key": "x"}},
            [f"$.incident: '{name}' is a required property" for name in INCIDENT if name != "key"],
        ),
        ({"more": 1}, ["$.more: not in the schema"]),
    ],
)
def test_what_does_not_follow_it_is_seen(change: dict[str, Any], wrong: list[str]) -> None:
    """The check of these tests notices a wrong word, a wrong form, missing fields and one that is not documented."""
    assert wrong == faults({**message("llama", opened()), **change})


def test_page_lists_every_field() -> None:
    """docs/alerts.md has one row for each field of a message."""
    rows = re.findall(r"^\| `([a-z_]+)` \|", PAGE.partition("## The message")[2].partition("\n## ")[0], re.MULTILINE)

    assert list(SCHEMA["properties"]) == rows


def test_settings_of_the_page() -> None:
    """The settings that docs/alerts.md shows are accepted."""
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example

    assert ["webhook", "apprise"] == [
        one.kind for one in Settings.model_validate(tomllib.loads(example[1])).alert.sink.values()
    ]


def receiver() -> dict[str, Any]:
    """Run the receiver's example of docs/alerts.md; gives what it defines."""
    example = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert example
    defined: dict[str, Any] = {}
    exec(example[1], defined)  # noqa: S102 - our own documentation
    return defined


async def test_signature_as_documented() -> None:
    """What a webhook is sent passes the check of docs/alerts.md, byte by byte; unsigned, changed or old it does not."""
    sent: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    async with httpx.AsyncClient(transport=httpx.MockTransport(take)) as client:
        await deliver(said("health"), Options("webhook", "https://hooks.example/", SECRET), client)
    genuine, header, body = receiver()["genuine"], sent[0].headers[SIGNATURE], sent[0].content

    assert said("health") == json.loads(body)
    assert genuine(header, body, SECRET)
    assert not genuine(header, body + b" ", SECRET)
    assert not genuine(header, body, "another secret")
    assert not genuine(signature(SECRET, 1_000_000_000, body), body, SECRET)


def test_signature_is_what_is_documented() -> None:
    """The signature is HMAC-SHA256 of the time, a dot and the body, as any other program computes it."""
    # printf '1800000000.{}' | openssl dgst -sha256 -hmac key
    expected = "t=1800000000,v1=7321475872b03ff21bdc2dfd86ea2d99ec29c479fbe4a77aa6acf4509505493f"

    assert expected == signature("key", 1_800_000_000, b"{}")


async def test_unsigned_without_a_secret() -> None:
    """Without a secret there is no signature that somebody could take for one."""
    sent: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    async with httpx.AsyncClient(transport=httpx.MockTransport(take)) as client:
        await deliver(said("health"), Options("webhook", "https://hooks.example/"), client)

    assert [None] == [request.headers.get(SIGNATURE) for request in sent]


def test_secrets_are_not_shown() -> None:
    """Options say neither address nor secret when they are printed."""
    assert "s3cr3t" not in repr(Options("webhook", "https://hooks.example/s3cr3t", "s3cr3t"))
