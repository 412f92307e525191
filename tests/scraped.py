"""A Prometheus that scrapes a monitor: with a server, users, replayed vendors' tools, then a regression."""

import os
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
from boards import asked
from processes import MONITOR, environment
from promql import ALERTS

from monitor.demo.scene import build, set_governor

CAPTURES = Path(__file__).parent / "captures"
CONFIG = """\
[target.demo]
url = "{url}"

[heartbeat]
every = "1s"

[canary]
profiles = ["short", "warm"]
every = "2s"
timeout = "5s"
max_tokens_per_minute = 1000000

[alert]
paging = "on"
opens_after = "6s"

[alert.sink.log]
kind = "log"

[host]
procfs = "{folder}/proc"
sysfs = "{folder}/sys"

[ascend]
lock_file = "{folder}/npu-smi.lock"

[store]
url = "sqlite:///{folder}/monitor.db"
"""
SECOND = """
[target.gone]
url = "http://127.0.0.1:9"
"""
"""A server that never came up; a baseline is captured of one."""
PROMETHEUS = """\
global: {{scrape_interval: 1s, evaluation_interval: 2s}}
rule_files: ["{rules}"]
scrape_configs: [{{job_name: vllm-monitor, static_configs: [{{targets: ["{monitor}"]}}]}}]
"""
TOOLS = {
    "npu-smi": {
        "info -t common": "ascend/info-t-common-i1_310P-300IDuo_2chip+mcu.txt",
        "info -t usages": "ascend/info-t-usages-i1_310P-300IDuo_2chip.txt",
        "info -t ecc": "ascend/info-t-ecc-i0_A3_2chip_counts_SYNTHETIC.txt",
        "info": "ascend/info_A3-Ascend910_25.2.0_dual-die_dash-power.txt",
    },
    "nvidia-smi": {"": "nvidia/h100x4_590_busy_capped.txt"},
}
"""What vendors' tools print, by how their arguments begin, the longest first."""
PATIENCE = 240.0
"""Seconds; a fifth of them is enough on a machine that is not busy."""
PAUSE = 0.5
"""Seconds between two rounds of questions: what is asked for must have the machine, too."""
JUDGED = 'vllm_monitor_baseline_ratio{metric="tpot",profile="short"}'
FOUND_SLOW = 'vllm_monitor_incident_active and on (target) vllm_monitor_finding_active{kind="regression"}'

Slow = Callable[[], AbstractContextManager[object]]
"""Makes a server slow for as long as the block lasts."""


class Scraped:
    """A Prometheus at `url`; where we started what it scrapes, the server can be harmed and used."""

    def __init__(self, url: str, server: str = "", folder: Path = Path(), slow: Slow = nullcontext) -> None:
        self.url = url
        self._server = server
        self._folder = folder
        self._slow = slow
        self._harm = ExitStack()
        self._over = threading.Event()
        self._user = threading.Thread(target=self._use)

    @property
    def ours(self) -> bool:
        """Whether we started what is scraped."""
        return bool(self._server)

    def harm(self) -> None:
        """Let the server be slow, after its host lost its tuning."""
        set_governor(self._folder, "powersave")
        self._harm.enter_context(self._slow())

    def use(self) -> None:
        """Let a user come, who asks something short again and again: a canary keeps out of his way."""
        self._user.start()

    def close(self) -> None:
        """Let the user go, and the server be."""
        self._harm.close()
        self._over.set()
        if self._user.is_alive():
            self._user.join()

    def found(self, expr: str) -> bool:
        """Tell whether a query finds a series now; one that Prometheus refuses fails."""
        return bool(self.ask("query", query=expr)["result"])

    def unanswered(self, but: Container[str]) -> list[str]:
        """Harm and use a server of ours, and name the dashboards' queries that never found a series."""
        acts = deque([(JUDGED, self.harm), (FOUND_SLOW, self.use)] if self.ours else [])
        left = {str(one): one.expr for one in asked(foreign=not self.ours) if str(one) not in but}
        until = time.monotonic() + PATIENCE
        while left and time.monotonic() < until:
            left = {name: expr for name, expr in left.items() if not self.found(expr)}
            time.sleep(PAUSE)
            if acts and self.found(acts[0][0]):
                acts.popleft()[1]()
        return sorted(left)

    def ask(self, path: str, **parameters: str) -> Any:
        """Ask Prometheus; gives its answer's data, or fails with its words."""
        told = httpx.get(f"{self.url}/api/v1/{path}", params=parameters).json()
        assert "success" == told["status"], f"{parameters}: {told}"
        return told["data"]

    def _use(self) -> None:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
        while not self._over.wait(0.7):
            httpx.post(f"{self._server}/v1/chat/completions", json=body, timeout=30).raise_for_status()


@contextmanager
def scraped(folder: Path, prometheus: str, real: tuple[str, Slow] | None = None) -> Iterator[Scraped]:
    """Start everything, a simulated server too unless there is a real one, which varies more; end it in any case."""
    sample = ("--requests", "120", "--rate", "4") if real else ("--requests", "30", "--rate", "10")
    with ExitStack() as stack:
        server, slow = real or stack.enter_context(_simulated(folder))
        config = _scene(folder, server)
        _once(folder, *_monitor("baseline", "capture", "good-day", *sample, "--config", str(config)))
        _once(folder, *_monitor("annotate", "image 0.33", "--config", str(config)))
        config.write_text(config.read_text() + SECOND)
        serve = _monitor("serve", "--config", str(config), "--web.listen-address", "127.0.0.1:0")
        monitor = stack.enter_context(_running(folder, '"address": "http://', *serve))
        url = stack.enter_context(_prometheus(folder, prometheus, monitor))
        yield stack.enter_context(closing(Scraped(url, server, folder, slow)))


@contextmanager
def _simulated(folder: Path) -> Iterator[tuple[str, Slow]]:
    @contextmanager
    def slow() -> Iterator[None]:
        httpx.post(f"{url}/simulate", json={"slow": 3.0}).raise_for_status()
        yield

    simulate = ("simulate", "--listen", "127.0.0.1:0", "--set", "ttft=0.1", "--set", "tpot=0.01")
    with _running(folder, "http://", *_monitor(*simulate)) as listens:
        url = f"http://{listens}"
        yield url, slow


def _scene(folder: Path, server: str) -> Path:
    """Put a host, vendors' tools and settings into the folder; gives the settings' path."""
    build(folder, server)
    for name in ("cpu", "memory", "io"):
        told = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\n"
        (folder / "proc/pressure").mkdir(exist_ok=True)
        (folder / "proc/pressure" / name).write_text(told + told.replace("some", "full"))
    for tool, answers in TOOLS.items():
        cases = "".join(f'"{asked}"*) tail -n +2 "{CAPTURES / name}" ;;\n' for asked, name in answers.items())
        path = folder / "bin" / tool
        path.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}esac\n')
        path.chmod(0o755)
    config = folder / "monitor.toml"
    config.write_text(CONFIG.format(url=server, folder=folder))
    return config


@contextmanager
def _prometheus(folder: Path, program: str, monitor: str) -> Iterator[str]:
    config = folder / "prometheus.yml"
    config.write_text(PROMETHEUS.format(rules=ALERTS / "monitor.rules.yml", monitor=monitor))
    listens = f"127.0.0.1:{_free_port()}"
    where = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={listens}")
    with _running(folder, "Server is ready", program, *where):
        yield f"http://{listens}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _monitor(*arguments: str) -> tuple[str, ...]:
    return (str(MONITOR), *arguments)


def _environment(folder: Path) -> dict[str, str]:
    own = environment()
    return {**own, "PATH": f"{folder / 'bin'}{os.pathsep}{own['PATH']}"}


def _once(folder: Path, *command: str) -> None:
    """Run a command to its end; a capture then leaves out the profiles that take long."""
    settings = {**_environment(folder), "MONITOR_CANARY__PROFILES": '["short"]'}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own program
    assert 0 == done.returncode, done.stderr


@contextmanager
def _running(folder: Path, mark: str, *command: str) -> Iterator[str]:
    """Run a program until the block ends, which begins when it has said `mark`; gives what follows that, to a quote."""
    ran = subprocess.Popen(  # noqa: S603 - our own program, or one found on PATH
        command, env=_environment(folder), stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
    )
    with ran, ExitStack() as stack:
        stack.callback(ran.terminate)
        assert ran.stdout is not None
        said = next((line for line in ran.stdout if mark in line), "")
        assert said, f"{command[0]} ended"
        drain = threading.Thread(target=ran.stdout.read)
        drain.start()
        stack.callback(drain.join)  # what it says ends with it
        stack.callback(ran.terminate)
        yield said.partition(mark)[2].strip().partition('"')[0]
