"""`monitor serve` as a process: it starts without vLLM, serves, ends well, and says what is wrong in one line."""

import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from examples import finding
from processes import run, serve
from serving import receiver, simulated

from monitor.model import Flip
from monitor.store.store import Store

pytestmark = pytest.mark.alone

CONFIG = """
[target.llama]
url = "{url}"
[heartbeat]
every = "200ms"
[canary]
every = "200ms"
[store]
url = "sqlite:///{store}"
"""


def config(folder: Path, url: str = "http://127.0.0.1:9", extra: str = "") -> Path:
    path = folder / "monitor.toml"
    path.write_text(CONFIG.format(url=url, store=folder / "m.db") + extra)
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_well(tmp_path: Path, number: signal.Signals) -> None:
    """A signal ends the monitor with exit code 0 and the store closed; vLLM need not be there."""
    with serve(config(tmp_path)) as served:
        text = httpx.get(f"{served.url}/metrics").text
        code = served.end(number)

    assert 0 == code
    assert "vllm_monitor_build_info" in text
    assert "Traceback" not in served.log
    assert not (tmp_path / "m.db-wal").exists()


async def test_metrics_of_a_watched_server(tmp_path: Path) -> None:
    """Beside a server, one command gives its health on /metrics."""
    async with simulated() as server:
        with serve(config(tmp_path, server.url)) as served:
            async with httpx.AsyncClient() as client:
                text = await until_shown(client, served.url, "vllm_monitor_canary_last_ttft_seconds")

    assert 'vllm_monitor_vllm_up{target="llama"} 1.0' in text
    assert 'reason="no baseline"' in text


async def until_shown(client: httpx.AsyncClient, url: str, metric: str) -> str:
    """Scrape until a metric is there; each scrape takes its time, and a thousand are enough."""
    for _ in range(1000):
        text = (await client.get(f"{url}/metrics")).text
        if f"\n{metric}{{" in text:
            return text
    raise AssertionError(f"{metric} did not appear")


def test_taken_port_is_told(tmp_path: Path) -> None:
    """A port that is taken is one line and exit code 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("serve", "--config", str(config(tmp_path)), "--web.listen-address", address)

    assert (2, 1) == (ended.returncode, len(ended.stderr.splitlines()))
    assert f"monitor: --web.listen-address {address}: Address already in use; choose another address\n" == ended.stderr


@pytest.mark.parametrize("setting", ["api_key_file", "ca_file"])
def test_an_unreadable_file_is_told(setting: str, tmp_path: Path) -> None:
    """A file of a key or a certificate that is not there is one line and exit code 2, before anything starts."""
    path = config(tmp_path, extra="")
    text = path.read_text().replace("http:", "https:").replace("[heartbeat]", f'{setting} = "/nowhere/x"\n[heartbeat]')
    path.write_text(text)

    ended = run("serve", "--config", str(path), "--web.listen-address", "127.0.0.1:0")

    assert (2, 1) == (ended.returncode, len(ended.stderr.splitlines()))
    assert ended.stderr.startswith(f"monitor: {setting} /nowhere/x: ")


@pytest.mark.parametrize(("paging", "shown"), [("shadow", "0.0"), ("on", "1.0")])
def test_shadow_is_told(paging: str, shown: str, tmp_path: Path) -> None:
    """Who leaves paging in shadow is told that nobody will be told; alert rules see it from the first scrape on."""
    with serve(config(tmp_path, extra=f'[alert]\npaging = "{paging}"\n')) as served:
        text = httpx.get(f"{served.url}/metrics").text
        served.end()

    said = 'paging is in shadow: nobody is told of findings until [alert] paging = \\"on\\"'
    assert (paging == "shadow") == (said in served.log)
    assert f"\nvllm_monitor_paging {shown}\n" in text


def test_each_sink_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """What is wrong with sinks is told at the start, one line each, with exit code 2, and without their secrets."""
    hook = 'kind = "webhook"\nurl = "https://hooks.example/s3cr3t"\nsecret_file = "/nowhere/x"\n'
    path = config(tmp_path, extra=f"[alert.sink.team]\n{hook}[alert.sink.boss]\n{hook}")

    ended = run("serve", "--config", str(path), "--web.listen-address", "127.0.0.1:0")

    told = [line for line in ended.stderr.splitlines() if line.startswith("monitor: ")]
    assert (2, ["monitor: alert.sink.team", "monitor: alert.sink.boss"]) == (
        ended.returncode,
        [line.partition(": secret_file /nowhere/x: ")[0] for line in told],
    )
    assert "s3cr3t" not in ended.stderr


def test_key_is_shown_nowhere(tmp_path: Path) -> None:
    """The API key appears in no log, on no page and in no database."""
    path = config(tmp_path)
    path.write_text(path.read_text().replace("[heartbeat]", 'api_key = "s3cr3t-key"\n[heartbeat]'))
    with serve(path) as served:
        text = httpx.get(f"{served.url}/metrics").text
        served.end()
    printed = run("config", "--config", str(path)).stdout

    stored = b"".join(file.read_bytes() for file in tmp_path.glob("m.db*"))
    assert "s3cr3t" not in text + served.log + printed
    assert b"s3cr3t" not in stored


def test_second_serve_on_one_store_is_refused(tmp_path: Path) -> None:
    """Two monitors on one store would tell everything twice: the second one ends with one line and exit code 2."""
    path = config(tmp_path)
    with serve(path) as first:
        ended = run("serve", "--config", str(path), "--web.listen-address", "127.0.0.1:0")
        alive = httpx.get(f"{first.url}/-/healthy").status_code

    assert (2, 200) == (ended.returncode, alive)
    assert "monitor: another monitor serves on m.db; stop it, or set another [store] url\n" == ended.stderr


def test_killed_monitor_leaves_no_claim(tmp_path: Path) -> None:
    """After kill -9 the next monitor takes the store over."""
    path = config(tmp_path)
    with serve(path) as first:
        first.end(signal.SIGKILL)
    with serve(path) as second:
        code = second.end()

    assert 0 == code


GONE = """
[alert]
paging = "{paging}"
[alert.sink.team]
kind = "webhook"
url = "{url}"
"""


async def test_what_is_watched_no_longer_is_closed(tmp_path: Path) -> None:
    """What was open of a target that the settings have no longer ends with one message to the sinks."""
    keep_open(tmp_path)
    async with receiver() as team:
        with serve(config(tmp_path, extra=GONE.format(paging="on", url=team.url))) as served:
            async with httpx.AsyncClient() as client:
                for _ in range(1000):  # each scrape takes its time
                    await client.get(f"{served.url}/metrics")
                    if team.got:
                        break

    assert [("regression:gone", "resolved", "gone")] == [(one["key"], one["status"], one["target"]) for one in team.got]
    assert "gone is no longer watched, so whether this is over is not known: " in team.got[0]["summary"]


@pytest.mark.parametrize(("paging", "mute"), [("shadow", False), ("on", True)])
async def test_what_is_watched_no_longer_is_closed_quietly(tmp_path: Path, paging: str, mute: bool) -> None:  # noqa: FBT001 - a table's column
    """In shadow, or while everything is muted, nobody is told of it now."""
    keep_open(tmp_path, mute=mute)
    async with receiver() as team:
        with serve(config(tmp_path, extra=GONE.format(paging=paging, url=team.url))) as served:
            code = served.end()

    store = Store(f"sqlite:///{tmp_path / 'm.db'}")
    left, waiting = store.outbox.open_findings("gone"), store.outbox.pending()
    store.close()
    assert (0, [], (), {"team": 1} if mute else {}) == (code, team.got, left, waiting)


def keep_open(folder: Path, *, mute: bool = False) -> None:
    """Leave a finding open of a target that the settings do not have."""
    store = Store(f"sqlite:///{folder / 'm.db'}")
    slow = finding("regression:gone:short:ttft", group="regression:gone", summary="gone: canary TTFT 50 → 75 ms")
    now = time.time()
    store.outbox.settle("gone", [Flip(slow, opened=True, since=now - 300, at=now, tell=True)], (), now)
    if mute:
        store.history.hold("*", "mute", now, now + 3600)
    store.close()
