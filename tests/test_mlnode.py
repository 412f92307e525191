"""A Gonka MLNode: its state is read as it is told, and what is not served, or served by too few, is found."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import run as command
from routes import answer, listening
from serving import simulated
from world import NAME, World, settings_for, world

from monitor import catalog
from monitor.collect.mlnode import parse
from monitor.collect.registry import run
from monitor.collect.vllm import look as vllm
from monitor.doctor import Check, examine
from monitor.heartbeat import REMOTE, Heart
from monitor.mlnode import judge
from monitor.model import Beat, Fact, Finding, Snapshot
from monitor.parts import others
from monitor.serve import pulse, tell
from monitor.settings import Host, Settings, StoreSettings, Target
from monitor.web.status import status

PATH = "/api/v1/state"
NOWHERE = "http://127.0.0.1:9"
HINT = "is mlnode_url the management port (8080 by default, 5000 is the one for inference), without a path?"
TREE = Path(__file__).parent / "captures" / "host" / "ascend-tuned"

STATE = Fact(catalog.MLNODE_STATE, "INFERENCE")
TWO_BY_TWO = (Fact("vllm.tensor_parallel_size", "2"), Fact("vllm.pipeline_parallel_size", "2"))
TEN = Fact(catalog.NVIDIA_DEVICES, "10x NVIDIA GeForce RTX 4070 Ti")


@asynccontextmanager
async def node(state: str) -> AsyncIterator[str]:
    async with listening({PATH: answer(json.dumps({"state": state}).encode(), kind="application/json")}) as where:
        yield f"http://{where}"


async def look(url: str) -> Snapshot:
    target = Target(url=NOWHERE, mlnode_url=url)
    return await run("mlnode", others(Settings(), target)["mlnode"], 5.0)


@pytest.mark.parametrize(
    ("state", "serves"), [("INFERENCE", 1.0), ("STOPPED", 0.0), ("POW", 0.0), ("TRAIN", 0.0), ("SOME_NEW_STATE", 0.0)]
)
async def test_state(state: str, serves: float) -> None:
    """The state is a fact, and whether it is the one that serves a reading."""
    async with node(state) as url:
        snapshot = await look(url)

    assert [(catalog.MLNODE_SERVING, serves)] == [(reading.metric, reading.value) for reading in snapshot.readings]
    assert (Fact(catalog.MLNODE_STATE, state, PATH),) == snapshot.facts


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html></html>",
        "[]",
        "null",
        '"INFERENCE"',
        "{}",
        '{"state": null}',
        '{"state": 1}',
        '{"state": ""}',
        '{"state": "a b\\nc"}',
        json.dumps({"state": "A" * 41}),
        "[" * 100_000,
        '{"state": ' + "1" * 5000 + "}",
    ],
)
async def test_answer_without_state(body: str) -> None:
    """What tells no state is no MLNode's answer, which is told in one line."""
    async with listening({PATH: answer(body.encode())}) as where:
        snapshot = await look(f"http://{where}")

    assert f"http://{where}{PATH} tells no state; {HINT}" == snapshot.error


async def test_other_status() -> None:
    """A server that has no such page is told with its answer, and where the management port is to be found."""
    async with listening({}) as where:
        snapshot = await look(f"http://{where}")

    assert f"http://{where}{PATH} answers HTTP 404; {HINT}" == snapshot.error


async def test_closed_port() -> None:
    """A port where nothing listens is not blamed on vLLM."""
    assert f"{NOWHERE} does not answer: connection refused; {HINT}" == (await look(NOWHERE)).error


async def test_unreadable_certificate() -> None:
    """A certificate that cannot be used fails the look with its name, not the monitor."""
    target = Target(url="https://vllm:8000", ca_file="/nowhere/ca.pem", mlnode_url="https://vllm:8080")
    snapshot = await run("mlnode", others(Settings(), target)["mlnode"], 5.0)

    assert snapshot.error.startswith("ca_file /nowhere/ca.pem: No such file or directory")


async def test_key_is_not_sent() -> None:
    """The server's API key is none of the node's business."""
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\nConnection: close\r\n\r\n{"state": "INFERENCE"}')
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        target = Target.model_validate({"url": NOWHERE, "mlnode_url": url, "api_key": "s3cr3t"})
        snapshot = await run("mlnode", others(Settings(), target)["mlnode"], 5.0)

    assert snapshot.ok
    assert [False] == [b"s3cr3t" in request or b"authorization" in request.lower() for request in asked]


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.just("state") | st.text(), inner),
    ).map(json.dumps)
    | st.text()
)
def test_any_answer(text: str) -> None:
    """Whatever is answered, a state is a short word in capitals, or nothing."""
    state = parse(text)

    assert len(state) <= 40
    assert state.replace("_", "").upper() == state.replace("_", "")


def test_without_setting_there_is_no_look() -> None:
    """Without mlnode_url no MLNode is looked for, unless it is asked for."""
    settings, target = Settings(), Target(url="http://elsewhere.example:8000")

    assert {} == others(settings, target)
    assert {"mlnode"} == others(settings, target, ("mlnode",)).keys()


@pytest.mark.parametrize("url", ["localhost:8080", "http://user:secret@host:8080", "ftp://host"])
def test_address(url: str) -> None:
    """What is no address is refused, as are credentials in one: it is shown in messages."""
    with pytest.raises(ValueError, match="not an address"):
        Target(mlnode_url=url)


def found(*facts: Fact) -> list[tuple[str, str, float]]:
    return [(one.subject, one.severity, one.hold) for one in judge("llama", facts, 180.0).findings]


def only(*facts: Fact) -> Finding:
    [finding] = judge("llama", facts, 180.0).findings
    return finding


def keys(*facts: Fact) -> set[str]:
    return {key.removeprefix("health:llama:") for key in judge("llama", facts, 180.0).judged}


def unused(value: str | None) -> Fact:
    return Fact(catalog.NVIDIA_UNUSED, value)


def test_serving_node_is_well() -> None:
    """A node that serves is judged and found well."""
    assert ([], {"mlnode"}) == (found(STATE), keys(STATE))


@pytest.mark.parametrize("state", ["STOPPED", "POW"])
def test_node_that_does_something_else(state: str) -> None:
    """A node in another state does not serve, which is told once it has lasted; how many run is not judged then."""
    elsewhere = replace(STATE, value=state)

    assert [("mlnode", "warning", 180.0)] == found(elsewhere, *TWO_BY_TWO, TEN, unused("0,1,2,3,4,5"))
    assert {"mlnode"} == keys(elsewhere, *TWO_BY_TWO, TEN, unused("0,1,2,3,4,5"))
    assert f"llama: the MLNode is in state {state}, so that nothing is served" == only(elsewhere).summary


@pytest.mark.parametrize("facts", [(), (Fact(catalog.MLNODE_STATE, None, PATH, "unreadable"),)])
def test_silence_says_nothing(facts: tuple[Fact, ...]) -> None:
    """Without a state nothing is found, and nothing that was found is over."""
    assert ([], set()) == (found(*facts), keys(*facts))


@pytest.mark.parametrize(
    ("empty", "expected"),
    [
        ("none", []),
        ("8,9", []),
        ("3,8,9", []),
        ("4,5,6,7", [("instances", "warning", 180.0)]),
        ("4,5,6,7,8,9", [("instances", "warning", 180.0)]),
    ],
)
def test_instances(empty: str, expected: list[tuple[str, str, float]]) -> None:
    """Ten GPUs have room for two instances of four; what is left over is no trouble, room for another one is."""
    assert expected == found(STATE, *TWO_BY_TWO, TEN, unused(empty))
    assert {"mlnode", "instances"} == keys(STATE, *TWO_BY_TWO, TEN, unused(empty))


def test_instances_are_counted() -> None:
    """The finding says how many run, how many could, and where."""
    finding = only(STATE, *TWO_BY_TWO, TEN, unused("4,5,6,7,8,9"))

    assert ("1", "2") == (finding.observed, finding.expected)
    assert (
        "llama: 1 of 2 vLLM instances seem to run: GPUs 4,5,6,7,8,9 hold no model, and one instance takes 4"
        == finding.summary
    )


def test_size_from_the_command_line() -> None:
    """Where the server does not tell its settings, its process's arguments do; what nobody set is one device."""
    arguments = (Fact("process.arg.tensor-parallel-size", "4"), Fact("process.arg.pipeline-parallel-size", "unset"))

    assert [("instances", "warning", 180.0)] == found(STATE, *arguments, TEN, unused("6,7,8,9"))
    assert [] == found(STATE, *arguments, TEN, unused("7,8,9"))


@pytest.mark.parametrize(
    "facts",
    [
        (TEN, unused("0,1,2,3")),
        (TWO_BY_TWO[0], TEN, unused("0,1,2,3")),
        (*TWO_BY_TWO, unused("0,1,2,3")),
        (*TWO_BY_TWO, TEN),
        (*TWO_BY_TWO, TEN, unused(None)),
        (Fact("vllm.tensor_parallel_size", "auto"), TWO_BY_TWO[1], TEN, unused("0,1,2,3")),
        (Fact("vllm.tensor_parallel_size", "0"), TWO_BY_TWO[1], TEN, unused("0,1,2,3")),
        (*TWO_BY_TWO, replace(TEN, value="many GPUs"), unused("0,1,2,3")),
    ],
)
def test_unknown_room(facts: tuple[Fact, ...]) -> None:
    """Where a figure is missing or none, nobody can say how many instances there should be."""
    assert ([], {"mlnode"}) == (found(STATE, *facts), keys(STATE, *facts))


@asynccontextmanager
async def watched(here: World, url: str) -> AsyncIterator[Heart]:
    """Give a world another heart, which looks at a node too."""
    target = Target(url=here.url, mlnode_url=url)
    chosen = settings_for(here.url, "", "on", "").model_copy(update={"target": {NAME: target}})
    looks = {name: one for name, one in others(chosen, target).items() if name == "mlnode"}
    async with httpx.AsyncClient(base_url=here.url, trust_env=False, timeout=5.0) as client:
        look = vllm.Server(client).look
        stopwatch = here.canary._stopwatch  # noqa: SLF001 - the one that the canary measures by
        told = partial(tell, chosen)
        heart = Heart(
            pulse(NAME, target, chosen), look, here.canary, stopwatch, here.store, REMOTE, told, tuple(looks.items())
        )
        await heart.wake()
        yield heart


def open_subjects(beat: Beat) -> set[str]:
    return {entry.finding.subject for entry in beat.open}


async def test_beat_of_a_node(tmp_path: Path) -> None:
    """The node is one more snapshot of each beat: its state is found, exported and over again."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        async with node("POW") as url, watched(here, url) as heart:
            beats = [await heart.beat() for _ in range(2)]
            here.board.show(beats[-1], stored=True)
            shown = here.shown(catalog.MLNODE_SERVING)
        async with node("INFERENCE") as url, watched(here, url) as heart:
            after = [await heart.beat() for _ in range(2)]

    assert ["vllm", "mlnode"] == [snapshot.source for snapshot in beats[0].snapshots]
    assert [set(), {"mlnode"}] == [open_subjects(beat) for beat in beats]
    assert {(("target", NAME),): 0.0} == shown
    assert [{"mlnode"}, set()] == [open_subjects(beat) for beat in after]


async def test_node_that_is_gone_closes_nothing(tmp_path: Path) -> None:
    """A node that cannot be looked at is neither a trouble of the server's nor the end of one that is open."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        async with node("POW") as url, watched(here, url) as heart:
            for _ in range(2):
                await heart.beat()
        async with watched(here, NOWHERE) as heart:
            beats = [await heart.beat() for _ in range(3)]
            here.board.show(beats[-1], stored=True)
            shown = here.shown(catalog.COLLECTOR_SUCCESS)
            [page] = status(here.board, (NAME,))["targets"]

    assert [{"mlnode"}] * 3 == [open_subjects(beat) for beat in beats]
    assert ("alive", True) == (page["state"], page["up"])
    assert {"vllm": 1.0, "mlnode": 0.0} == {dict(pairs)["collector"]: value for pairs, value in shown.items()}


async def doctored(folder: Path, url: str) -> Check:
    chosen = Settings(
        target={"llama": Target(url=NOWHERE, mlnode_url=url)},
        host=Host(procfs=TREE / "proc", sysfs=TREE / "sys"),
        store=StoreSettings.model_validate({"url": f"sqlite:///{folder / 'm.db'}"}),
    )
    return {check.name: check async for check in examine(chosen)}["target llama mlnode"]


async def test_doctor(tmp_path: Path) -> None:
    """The doctor tries the node, whether the server answers or not, and says what to do."""
    async with node("INFERENCE") as url:
        good = await doctored(tmp_path, url)
    async with node("STOPPED") as url:
        stopped = await doctored(tmp_path, url)
    gone = await doctored(tmp_path, NOWHERE)

    assert (True, "it is in state INFERENCE", "") == (good.works, good.says, good.add)
    assert (False, "it is in state STOPPED") == (stopped.works, stopped.says)
    assert "POST /api/v1/inference/up" in stopped.add
    assert (False, f"{NOWHERE} does not answer: connection refused; {HINT}") == (gone.works, gone.says)


def test_asked_for_without_setting() -> None:
    """Who asks for the node of a server that has none set is told what to set."""
    ended = command("look", "--only", "mlnode", "--target", NOWHERE)

    assert 1 == ended.returncode
    assert "set mlnode_url to the MLNode's management port, as in http://localhost:8080" in ended.stdout
