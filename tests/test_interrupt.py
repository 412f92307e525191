"""Ctrl-C: whatever a command waits for, it ends soon and in silence, and nothing of it stays behind."""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteReceiveStream, Process
from processes import MONITOR, environment
from routes import CHAT, GOOD, listening, silent

from monitor.store.store import Store

INTERRUPTED = 130
"""The exit code of every command but `serve` and `demo`, which Ctrl-C asks to end rather than cuts short."""
PATIENCE = 20
"""Seconds within which a command must have ended."""
SERVE = "serve --web.listen-address 127.0.0.1:0"


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    # What a shell starts in the background ignores Ctrl-C, and so would all that a test run there starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@asynccontextmanager
async def started(command: str, folder: Path, env: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """Start a command as a terminal does, in a process group of its own, with a store in a folder."""
    own = {
        **environment(), "MONITOR_STORE__URL": f"sqlite:///{folder}/m.db", "PYTHONUNBUFFERED": "1",
        "MONITOR_ALERT__PAGING": "on", **(env or {}),
    }  # fmt: skip
    async with await anyio.open_process([str(MONITOR), *command.split()], env=own, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def until(stream: ByteReceiveStream | None, words: str) -> str:
    """Read until a whole line with these words has come; gives what came."""
    assert stream
    text = ""
    while words not in text or not text.endswith("\n"):
        text += (await stream.receive()).decode()
    return text


async def interrupted(process: Process) -> tuple[int, list[str]]:
    """Press Ctrl-C; gives the exit code and the lines on stderr."""
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr
    with anyio.fail_after(PATIENCE):
        printed = b"".join([chunk async for chunk in process.stderr]).decode()
        return await process.wait(), printed.splitlines()


async def interrupted_at(path: str, command: str, folder: Path, env: dict[str, str]) -> tuple[int, list[str]]:
    """Press Ctrl-C while a command waits for a server that answers everything but this path."""
    asked = asyncio.Event()

    async def ask(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await silent(writer)

    async with (
        listening({**GOOD, path: ask}) as host,
        started(f"{command} --target http://{host}", folder, env) as process,
    ):
        await asked.wait()
        return await interrupted(process)


LOOKS = ("look", "doctor", "check", "canary", "baseline capture")
ASKS = LOOKS[1:]


@pytest.mark.parametrize(("command", "path"), [*((one, "/metrics") for one in LOOKS), *((one, CHAT) for one in ASKS)])
async def test_while_a_server_does_not_answer(command: str, path: str, tmp_path: Path) -> None:
    """What waits for a server ends, and a capture cut short is no baseline."""
    ended = await interrupted_at(path, command, tmp_path, {})
    store = Store(f"sqlite:///{tmp_path}/m.db")
    baselines = store.baselines.all()
    store.close()

    assert (INTERRUPTED, []) == ended
    assert () == baselines


@pytest.mark.parametrize("path", ["/metrics", CHAT])
async def test_serve(path: str, tmp_path: Path) -> None:
    """A monitor ends well while its server does not answer, and closes its store."""
    env = {"MONITOR_HEARTBEAT__EVERY": "1s", "MONITOR_CANARY__EVERY": "1s"}
    code, lines = await interrupted_at(path, SERVE, tmp_path, env)

    assert 0 == code
    events = [json.loads(line)["event"] for line in lines]
    assert ("serving", set()) == (events[0], set(events[1:]) - {"finding opened"})
    assert not (tmp_path / "m.db-wal").exists()


async def test_simulate(tmp_path: Path) -> None:
    """The simulated server can be ended as soon as it has said where it is."""
    async with started("simulate --listen 127.0.0.1:0", tmp_path) as process:
        await until(process.stdout, "simulated vLLM at ")
        ended = await interrupted(process)

    assert (INTERRUPTED, []) == ended


@pytest.mark.parametrize("act", ["capturing a baseline", "the monitor serves"])
async def test_demo(act: str, tmp_path: Path) -> None:
    """However far the demo has come, its servers end with it, and its folder is removed."""
    async with started("demo --web.listen-address 127.0.0.1:0", tmp_path, {"TMPDIR": str(tmp_path)}) as process:
        said = await until(process.stdout, act)
        folders = inside(tmp_path)
        ended = await interrupted(process)
        bye = await until(process.stdout, "nothing of it is left")
    ports = {int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", said)}

    assert (0, []) == ended
    assert bye.endswith("The demo has ended, and nothing of it is left.\n")
    assert (1, []) == (len(folders), inside(tmp_path))
    assert ports
    assert {False} == {answers(port) for port in ports}


def inside(folder: Path) -> list[Path]:
    """List what lies in a folder."""
    return list(folder.iterdir())


def answers(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(("command", "code"), [("look --only host", INTERRUPTED), (SERVE, 0)])
async def test_while_the_kernel_does_not_answer(command: str, code: int, tmp_path: Path) -> None:
    """A file of the host whose read hangs keeps no command from ending."""
    file = tmp_path / "proc" / "sys" / "vm" / "swappiness"
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    env = {"MONITOR_HOST__PROCFS": str(tmp_path / "proc"), "MONITOR_HOST__SYSFS": str(tmp_path)}
    async with started(command, tmp_path, env) as process:
        writer = await anyio.to_thread.run_sync(os.open, file, os.O_WRONLY)  # waits for the reader, then lets it wait
        ended, lines = await interrupted(process)
        os.close(writer)

    assert code == ended
    assert [] == [line for line in lines if '"serving"' not in line]


async def test_while_it_starts(tmp_path: Path) -> None:
    """The first second, in which Python only loads the program, is no different."""
    async with started("look", tmp_path, {"PYTHONPROFILEIMPORTTIME": "1"}) as process:
        await until(process.stderr, "monitor.model")
        code, lines = await interrupted(process)

    assert (INTERRUPTED, []) == (code, [line for line in lines if not line.startswith("import time:")])
