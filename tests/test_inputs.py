"""What a newcomer does wrong, and what servers do wrong: each situation has its exact message in tests/inputs/."""

import asyncio
import re
import sqlite3
import ssl
import subprocess
from pathlib import Path

import anyio
import pytest
from goldens import compare
from processes import MONITOR, environment
from routes import GOOD, Handler, answer, chat, listening, silent
from serving import simulated

INPUTS = Path(__file__).parent / "inputs"


async def endless(writer: asyncio.StreamWriter) -> None:
    """Stream role chunks for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    while True:
        writer.write(b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n' * 1000)
        await writer.drain()


SITUATIONS: dict[str, tuple[dict[str, Handler], str]] = {
    "html": ({"/metrics": answer(b"<html>login</html>", kind="text/html")}, "look --only vllm --target http://HOST"),
    "not-found": ({"/metrics": answer(b"no", "404 Not Found")}, "look --only vllm --target http://HOST"),
    "unauthorized-metrics": ({"/metrics": answer(b"no", "401 Unauthorized")}, "look --only vllm --target http://HOST"),
    "another-exporter": ({"/metrics": answer(b"node_load1 0.5\n")}, "look --only vllm --target http://HOST"),
    "huge": ({"/metrics": answer(b"x 1\n" * 13_000_000)}, "look --only vllm --target http://HOST"),
    "malformed": ({"/metrics": answer(b"vllm:num_requests_running{ 0\n")}, "look --only vllm --target http://HOST"),
    "silent": ({"/metrics": silent}, "look --only vllm --target http://HOST"),
    "tls": (GOOD, "look --only vllm --target https://HOST"),
    "unauthorized-models": (
        {**GOOD, "/v1/models": answer(b'{"error":"Unauthorized"}', "401 Unauthorized")},
        "canary --requests 1 --target http://HOST",
    ),
    "models-broken": ({**GOOD, "/v1/models": answer(b"{")}, "canary --requests 1 --target http://HOST"),
    "endless-stream": (chat(endless), "canary --requests 1 --target http://HOST"),
    "broken-json": (chat(answer(b"data: {broken\n\ndata: [DONE]\n\n")), "canary --requests 1 --target http://HOST"),
    "unknown-model": (
        chat(answer(b'{"error":{"message":"The model `nope` does not exist.","code":404}}', "404 Not Found")),
        "canary --requests 1 --model nope --target http://HOST",
    ),
    "failing-capture": (
        chat(answer(b'{"error":{"message":"engine dead"}}', "500 Internal Server Error")),
        "baseline capture --requests 20 --rate 100 --target http://HOST",
    ),
}


async def run(command: str, store: Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run one command to its end; gives its exit code and everything it printed."""
    own = {**environment(), "MONITOR_STORE__URL": f"sqlite:///{store}", **(env or {})}
    ended = await anyio.run_process([str(MONITOR), *command.split()], check=False, env=own, stderr=subprocess.STDOUT)
    return ended.returncode, ended.stdout.decode()


def worded(command: str, code: int, printed: str, **hidden: str) -> str:
    """Write a command, its exit code and its output as a golden has them: what differs between runs is named."""
    text = re.sub(r".*: failed after .*\n", "", f"$ monitor {command}\n{printed}exit {code}\n")
    text = re.sub(r"-\s+\d+\.\d  ", "-  LAG  ", text)
    text = re.sub(r"\b(\d+) of \1 probes", "ALL probes", text)  # one that lagged is sent again
    for name, value in hidden.items():
        text = text.replace(value, name)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


@pytest.mark.parametrize("name", SITUATIONS)
async def test_server(name: str, tmp_path: Path) -> None:
    """Whatever a server does, the command ends with a line that helps, and without a traceback."""
    routes, command = SITUATIONS[name]
    async with listening(routes) as host:
        limits = {"MONITOR_CANARY__TIMEOUT": "2s"}
        code, printed = await run(command.replace("HOST", host), tmp_path / "m.db", limits)

    assert "Traceback" not in printed
    compare(INPUTS / f"{name}.txt", worded(command, code, printed, HOST=host, FOLDER=str(tmp_path)))


async def test_untrusted(tmp_path: Path) -> None:
    """A certificate that nobody here trusts is told with what makes it trusted, and that is enough."""
    certificate = INPUTS / "untrusted.pem"
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    command = "look --only vllm --target https://HOST"
    async with listening(GOOD, tls) as host:
        code, printed = await run(command.replace("HOST", host), tmp_path / "m.db")
        trusted, _ = await run(command.replace("HOST", host), tmp_path / "m.db", {"SSL_CERT_FILE": str(certificate)})

    printed = printed.replace("self signed", "self-signed")  # as OpenSSL 1.1 writes it
    compare(INPUTS / "untrusted.txt", worded(command, code, printed, HOST=host))
    assert 0 == trusted


WRONG = {
    "closed-port": "canary --target http://127.0.0.1:9",
    "no-such-host": "canary --target http://no-such-host.invalid:8000",
    "no-scheme": "look --target localhost:8000",
    "unknown-option": "look --onyl host",
    "too-few-requests": "baseline capture --requests 5",
    "unknown-baseline": "baseline use monday",
    "no-config": "serve --config FOLDER/nowhere.toml",
    "config-is-a-folder": "serve --config FOLDER",
    "bad-address": "serve --web.listen-address 9877",
    "unknown-knob": "simulate --set speed=1",
    "import-of-nothing": "baseline import FOLDER/nowhere.json",
}


@pytest.mark.parametrize("name", WRONG)
async def test_user(name: str, tmp_path: Path) -> None:
    """Whatever a user gets wrong, the answer is one line that says what, where and what to do."""
    code, printed = await run(WRONG[name].replace("FOLDER", str(tmp_path)), tmp_path / "m.db")

    assert 1 == printed.count("\n")
    compare(INPUTS / f"{name}.txt", worded(WRONG[name], code, printed, FOLDER=str(tmp_path)))


@pytest.mark.parametrize("name", ["text", "from-the-future", "below-a-file"])
async def test_store(name: str, tmp_path: Path) -> None:
    """A database that cannot be used is told, and left as it was."""
    path = tmp_path / "m.db"
    if name == "text":
        path.write_text("shopping list\n" * 100)
    elif name == "from-the-future":
        await run("baseline list", path)
        with sqlite3.connect(path) as database:
            database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.close()
    else:
        (tmp_path / "file").write_text("x")
        path = tmp_path / "file" / "m.db"
    before = path.read_bytes() if path.exists() else b""
    code, printed = await run("baseline list", path)

    assert before == (path.read_bytes() if path.exists() else b"")
    compare(INPUTS / f"store-{name}.txt", worded("baseline list", code, printed, FOLDER=str(tmp_path)))


async def test_plain_http(tmp_path: Path) -> None:
    """A vLLM that speaks plain http is told by what it answers to TLS."""
    command = "look --only vllm --target https://HOST"
    async with simulated() as server:
        host = server.url.removeprefix("http://")
        code, printed = await run(command.replace("HOST", host), tmp_path / "m.db")

    compare(INPUTS / "plain-http.txt", worded(command, code, printed, HOST=host))


def test_every_file_is_of_a_situation() -> None:
    """No message is kept of a situation that is gone."""
    stores = {f"store-{name}" for name in ("text", "from-the-future", "below-a-file")}

    assert {*SITUATIONS, *WRONG, *stores, "untrusted", "plain-http"} == {path.stem for path in INPUTS.glob("*.txt")}
