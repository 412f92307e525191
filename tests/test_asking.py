"""How a server is asked: what it refuses is left out, what it has no room for is shortened, the rest is told."""

import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Body, Fake, answer, event, refusal, reply, token
from serving import simulated

from monitor.canary.asking import OPTIONAL, Asked, Asker, Custom, Manner, build, salt_acts
from monitor.canary.profiles import BUILT_IN, LINES, Endpoint, Profile, long_text, own

SHORT, LONG, COMPLETIONS = BUILT_IN["short"], BUILT_IN["long"], BUILT_IN["completions"]
SECRET = "s3cr3t"  # noqa: S105 - no secret at all
URGENT = Custom(priority=5)
"""With it, every optional field is there."""


@asynccontextmanager
async def asker_of(server: Fake, custom: Custom | None = None, version: str = "0.32.0") -> AsyncIterator[Asker]:
    async with server.client() as client:
        yield introduced(client, custom or Custom(), version)


def introduced(client: httpx.AsyncClient, custom: Custom, version: str = "0.32.0") -> Asker:
    asker = Asker(client, random.Random(1), 5.0, custom)
    asker.model, asker.version = "tiny", version
    return asker


async def asked(server: Fake, profile: Profile = SHORT, custom: Custom | None = None, version: str = "0.32.0") -> Asked:
    """Ask a server that was never asked before."""
    async with asker_of(server, custom, version) as asker:
        return await asker.ask(profile, asker.nonce())


def given_fields(body: Mapping[str, Any]) -> set[str]:
    return {*body, *body.get("stream_options", {})}


def refusing(*fields: str, words: str = "{} is not permitted") -> Callable[[Body], httpx.Response]:
    """Refuse, by name, the first of these fields that is there."""

    def script(body: Body) -> httpx.Response:
        there = [name for name in fields if name in given_fields(body)]
        return refusal(words.format(*there)) if there else answer()

    return script


def with_room_for(words: int, text: str = "This model's maximum context length is 99 tokens.") -> Fake:
    """Give a server whose context has room for so many words."""
    return Fake(lambda body: refusal(text) if len(body["messages"][0]["content"].split()) > words else answer())


@pytest.mark.parametrize("name", OPTIONAL)
async def test_a_field_refused_by_name(name: str) -> None:
    """The field that a refusal names is left out, alone and from then on, and the version says so."""
    server = Fake(refusing(name))
    async with asker_of(server, URGENT) as asker:
        first = await asker.ask(SHORT, asker.nonce())
        again = await asker.ask(SHORT, asker.nonce())

    gone = {name} if name != "stream_options" else {name, "include_usage", "continuous_usage_stats"}
    refused, taken, later = map(given_fields, server.bodies)
    assert ("ok", "ok") == (first.timing.outcome, again.timing.outcome)
    assert (refused - gone, refused - gone) == (taken, later)
    assert f"-{name}" in first.request.version
    assert first.request.version == again.request.version


@pytest.mark.parametrize("status", [400, 422])
async def test_fields_refused_without_a_name(status: int) -> None:
    """Where a refusal names no field, one after the other goes, in order, until the server takes the rest."""
    late = OPTIONAL[3]
    server = Fake(lambda body: refusal("bad request", status) if late in body else answer())

    done = await asked(server, custom=URGENT)

    assert 5 == len(server.asked)
    assert "ok" == done.timing.outcome
    assert "".join(f"-{name}" for name in OPTIONAL[:4]) in done.request.version
    assert set(OPTIONAL[4:]) <= given_fields(server.bodies[-1])


async def test_nothing_helps() -> None:
    """If the server refuses everything, the first refusal is told, and nothing was learnt from it."""
    refusals = iter(range(100))
    server = Fake(lambda _body: refusal(f"no {next(refusals)}"))
    async with asker_of(server) as asker:
        done = await asker.ask(SHORT, asker.nonce())
        tried = len(server.asked)
        await asker.ask(SHORT, asker.nonce())

    assert ("rejected", "HTTP 400: no 0") == (done.timing.outcome, done.timing.detail)
    assert len(OPTIONAL) + 1 == tried
    assert server.bodies[0].keys() == server.bodies[tried].keys()


async def test_profiles_learn_apart() -> None:
    """What is refused to one profile is still offered by another."""
    server = Fake(lambda body: refusal("min_tokens") if "prompt" in body and "min_tokens" in body else answer())
    async with asker_of(server) as asker:
        limited = await asker.ask(COMPLETIONS, asker.nonce())
        whole = await asker.ask(SHORT, asker.nonce())

    assert ("1-min_tokens", "1") == (limited.request.version, whole.request.version)


async def test_forget() -> None:
    """After a restart of the server everything is offered again: it may be another version."""
    server = Fake(refusing("min_tokens"))
    async with asker_of(server) as asker:
        before = await asker.ask(SHORT, asker.nonce())
        asker.forget()
        server.script = refusing()
        after = await asker.ask(SHORT, asker.nonce())

    assert ("1-min_tokens", "1") == (before.request.version, after.request.version)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (500, b"min_tokens", "rejected"),
        (429, b"min_tokens", "rejected"),
        (404, b"min_tokens", "rejected"),
        (200, token(1), "broken"),
        (200, event('{"error":{"message":"HTTP 400: min_tokens"}}'), "broken"),
    ],
)
async def test_a_failure_is_not_asked_again(status: int, body: bytes, outcome: str) -> None:
    """What fails is never asked a second time, and no field is blamed for it."""
    server = Fake(lambda _body: reply(status, body))
    async with asker_of(server) as asker:
        done = await asker.ask(SHORT, asker.nonce())
        tried = len(server.asked)
        server.script = refusing()
        after = await asker.ask(SHORT, asker.nonce())

    assert (outcome, 1, "1") == (done.timing.outcome, tried, after.request.version)


async def test_a_failure_after_a_refusal() -> None:
    """A failure without the refused field is the answer; it teaches nothing, and is not asked again either."""
    server = Fake(lambda body: refusal("min_tokens") if "min_tokens" in body else refusal("out of memory", 500))
    async with asker_of(server) as asker:
        done = await asker.ask(SHORT, asker.nonce())
        server.script = refusing()
        after = await asker.ask(SHORT, asker.nonce())

    assert ("HTTP 500: out of memory", "1") == (done.timing.detail, after.request.version)
    assert 3 == len(server.asked)


@pytest.mark.parametrize(("room", "divisor"), [(10_000, 1), (LINES * 6, 2), (LINES * 3, 4), (LINES * 2 - 20, 4)])
async def test_a_prompt_too_long_is_halved(room: int, divisor: int) -> None:
    """A text for which the context has no room is halved until it fits; the version says so, and it is remembered."""
    server = with_room_for(room)
    async with asker_of(server) as asker:
        first = await asker.ask(LONG, asker.nonce())
        tried = len(server.asked)
        again = await asker.ask(LONG, asker.nonce())

    version = f"1/{divisor}" if divisor > 1 else "1"
    assert [version, version] == [first.request.version, again.request.version]
    assert (divisor.bit_length(), 1) == (tried, len(server.asked) - tried)
    assert long_text(LINES // divisor) + LONG.prompt == server.bodies[-1]["messages"][0]["content"]


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 512 tokens.",
        "The decoder prompt (length 1411) is longer than the maximum model length of 512.",
        "1411 prompt and 128 output tokens do not fit max_model_len=512.",
        "The input is too long.",
        "min_tokens must be less than or equal to max_tokens=90, got 128.",
    ],
)
async def test_too_long_in_many_words(words: str) -> None:
    """However a server says that it has no room, no field is blamed for it."""
    done = await asked(with_room_for(LINES * 6, words), LONG)

    assert "1/2" == done.request.version


async def test_a_long_prompt_is_not_shortened_for_a_field() -> None:
    """A refused field costs the long text no line."""
    assert "1-min_tokens" == (await asked(Fake(refusing("min_tokens")), LONG)).request.version


async def test_a_prompt_is_not_halved_for_ever() -> None:
    """Where not even a few lines fit, the refusal is told."""
    server = with_room_for(0)

    done = await asked(server, LONG)

    fewest = min(body["messages"][0]["content"].count("\n") for body in server.bodies)
    assert ("rejected", LINES // 16) == (done.timing.outcome, fewest)


async def test_a_small_context_of_a_server() -> None:
    """A simulated server with little room is asked what it has room for."""
    async with simulated(max_model_len=700) as server, httpx.AsyncClient(base_url=server.url) as client:
        asker = introduced(client, Custom())
        done = await asker.ask(LONG, asker.nonce())

    assert ("ok", "1/2", LONG.output_tokens) == (
        done.timing.outcome,
        done.request.version,
        done.timing.output_tokens,
    )


@pytest.mark.parametrize(
    "words",
    [
        "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template",
        "The model does not support Chat Completions API",
    ],
)
async def test_a_base_model_gets_advice(words: str) -> None:
    """Where chat is refused for good, the profile that needs no chat is advised, after the server's words."""
    done = await asked(Fake(lambda _body: refusal(words)))

    assert f'HTTP 400: {words}; for a base model set [canary] profiles = ["completions"]' == done.timing.detail


async def test_completions_need_no_chat() -> None:
    """The profile `completions` asks the older endpoint, with a prompt instead of messages."""
    server = Fake()

    done = await asked(server, COMPLETIONS)

    assert ["/v1/completions"] == [request.url.path for request in server.asked]
    assert (COMPLETIONS.prompt, False) == (server.bodies[0]["prompt"], "messages" in server.bodies[0])
    assert ("ok", "1") == (done.timing.outcome, done.request.version)


def test_salt_needs_a_version_that_heeds_it() -> None:
    """Only a version known to heed the salt at an endpoint is trusted with it: completions took it up later."""
    versions = ("0.8.5", "0.9.0", "0.9.2", "0.10.0", "0.32.0+cpu", "1.0", "", "dev", "0.x")

    assert ["0.9.0", "0.9.2", "0.10.0", "0.32.0+cpu", "1.0"] == [one for one in versions if salt_acts(one, SHORT)]
    assert ["0.10.0", "0.32.0+cpu", "1.0"] == [one for one in versions if salt_acts(one, COMPLETIONS)]


@given(st.text() | st.from_regex(r"[0-9²٣]{1,3}(\.[0-9²٣]{1,3})*"))
def test_any_version_heeds_the_salt_or_not(version: str) -> None:
    """Whatever a server calls its version, it is trusted or not."""
    assert salt_acts(version, SHORT) in {True, False}


async def test_salted() -> None:
    """Where a salt acts, the words are the same each time and the salt never is."""
    server = Fake()
    async with asker_of(server) as asker:
        done = [await asker.ask(SHORT, asker.nonce()) for _ in range(3)]

    assert 1 == len({body["messages"][0]["content"] for body in server.bodies})
    assert 3 == len({body["cache_salt"] for body in server.bodies})
    assert [("1", True)] * 3 == [(one.request.version, one.request.fixed) for one in done]


@pytest.mark.parametrize(("script", "version"), [(refusing(), "0.8.5"), (refusing("cache_salt"), "0.32.0")])
async def test_prefixed(script: Callable[[Body], httpx.Response], version: str) -> None:
    """Where no salt acts or is taken, the prompt begins with words that nobody sent before, and is not fixed."""
    server = Fake(script)
    async with asker_of(server, version=version) as asker:
        done = [await asker.ask(SHORT, asker.nonce()) for _ in range(3)]

    taken = [body for body in server.bodies if "cache_salt" not in body]
    begun = {body["messages"][0]["content"].removesuffix(f" {SHORT.prompt}") for body in taken}
    assert 3 == len(begun)
    assert SHORT.prompt not in begun
    assert [(True, False)] * 3 == [("+prefix" in one.request.version, one.request.fixed) for one in done]


@pytest.mark.parametrize(
    ("temperature", "fixed"), [({}, True), ({"temperature": 0.0}, True), ({"temperature": 0.7}, False)]
)
async def test_fixed_needs_temperature_zero(temperature: dict[str, float], fixed: bool) -> None:  # noqa: FBT001
    """Answers can be compared only where chance has no part in them: not with a temperature of the operator's own."""
    server = Fake()

    done = await asked(server, custom=Custom(extra_body=temperature))

    assert temperature.get("temperature", 0) == server.bodies[0]["temperature"]
    assert fixed == done.request.fixed


async def test_fixed_needs_the_temperature() -> None:
    """Where the server takes no temperature, its own is not known to be zero."""
    done = await asked(Fake(refusing("temperature")))

    assert not done.request.fixed


async def test_custom_headers_and_fields() -> None:
    """What the operator adds is sent with every request; a profile's own wins, whatever the case of a header's name."""
    server = Fake()
    custom = Custom({"X-Team": "all", "X-Key": SECRET}, {"seed": 1, "top_p": 0.5}, -2)
    mine = own("mine", "Say yes.", 7, "chat", {"x-team": "mine"}, {"seed": 2})

    await asked(server, mine, custom)

    request, body = server.asked[0], server.bodies[0]
    assert (["mine"], [SECRET]) == (request.headers.get_list("x-team"), request.headers.get_list("x-key"))
    assert ["identity"] == request.headers.get_list("accept-encoding")
    assert (2, 0.5, -2) == (body["seed"], body["top_p"], body["priority"])
    assert ("Say yes.", 7) == (body["messages"][0]["content"], body["max_tokens"])


async def test_priority_zero_is_a_priority() -> None:
    """Zero is sent like any other priority, and none is sent where none is set."""
    server = Fake()
    await asked(server, custom=Custom(priority=0))
    await asked(server)

    assert [0, "none"] == [body.get("priority", "none") for body in server.bodies]


def version_with(custom: Custom) -> str:
    """Give the version of what is asked with something added."""
    return build(SHORT, "tiny", "0.32.0", Manner(), custom, "nonce").version


def test_version_tells_what_was_added() -> None:
    """Another body is another version, in whatever order it is written; headers make none."""
    added: list[dict[str, Any]] = [{}, {"seed": 1}, {"seed": 2}, {"seed": 1, "top_p": 0.5}]
    versions = [version_with(Custom(extra_body=one)) for one in added]
    versions += [version_with(Custom(priority=one)) for one in (0, 1)]

    assert "1" == versions[0]
    assert len(versions) == len(set(versions))
    assert versions[3] == version_with(Custom(extra_body={"top_p": 0.5, "seed": 1}))
    assert "1" == version_with(Custom({"X-Team": "mine"}))


def test_own_profile_version() -> None:
    """A profile of the operator's own has another version for every other question, and the same for the same."""
    asks: list[tuple[str, int, Endpoint]] = [
        ("a", 16, "chat"),
        ("b", 16, "chat"),
        ("a", 17, "chat"),
        ("a", 16, "completions"),
    ]
    versions = [own("mine", prompt, tokens, endpoint, {}, {}).version for prompt, tokens, endpoint in asks]

    assert 4 == len(set(versions))
    assert versions[0] == own("other", "a", 16, "chat", {"X-Team": "mine"}, {}).version


async def test_headers_are_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Headers may hold secrets: neither logs at their finest nor any value's picture shows them."""
    caplog.set_level(logging.DEBUG)
    custom = Custom({"Authorization": f"Bearer {SECRET}"})
    mine = own("mine", "Say yes.", 4, "chat", {"X-Key": SECRET}, {})
    async with simulated() as server, httpx.AsyncClient(base_url=server.url) as client:
        asker = introduced(client, custom)
        done = await asker.ask(mine, asker.nonce())

    assert "ok" == done.timing.outcome
    assert (f"Bearer {SECRET}", SECRET) == tuple(done.request.headers.values())
    assert "/v1/chat/completions" in caplog.text
    for shown in (caplog.text, repr(custom), repr(mine), repr(done), str(done.request)):
        assert SECRET not in shown
