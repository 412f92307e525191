"""A server's log in whatever format becomes readings as long as its lines are young, and facts of its start."""

import json
import math
import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from goldens import compare
from hypothesis import example, given, settings
from hypothesis import strategies as st
from serving import simulated
from world import NAME, Calm, bird, settings_for, world

from monitor import catalog
from monitor.canary.stopwatch import Stopwatch
from monitor.collect.fetch import LookError
from monitor.collect.follow import LONGEST
from monitor.collect.registry import beside, run
from monitor.collect.vllm import look as vllm
from monitor.collect.vllm_log.entry import Unwrapper, plain
from monitor.collect.vllm_log.line import read
from monitor.collect.vllm_log.look import Log
from monitor.collect.vllm_log.run import Run
from monitor.collect.vllm_log.stats import Stats, stats, v0_hits
from monitor.heartbeat import REMOTE, Heart
from monitor.model import Fact, Reading, Snapshot, labels
from monitor.parts import others
from monitor.serve import pulse, tell
from monitor.settings import Settings, Target

ASKED = (catalog.RUNNING, catalog.PROMPT_RATE)
CAPTURES = Path(__file__).parent / "captures" / "vllm_log"
NAMES = sorted(path.stem for path in CAPTURES.glob("log_*.txt"))
FORMATS = (CAPTURES / "formats.txt").read_text().splitlines()
LINES = [line for line in FORMATS if not line.startswith("#")]

AT = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC).timestamp()
LINE = (
    "(APIServer pid=8) INFO {} [loggers.py:335] Engine 000: Avg prompt throughput: 12.5 tokens/s, Avg generation "
    "throughput: 24.9 tokens/s, Running: {} reqs, Waiting: 14 reqs, GPU KV cache usage: 76.5%"
)
BANNER = "(APIServer pid=8) INFO {} [utils.py:286] █▄█▀ █  version 0.32.0"
ENGINE = "(EngineCore pid=9) INFO {} [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='x'"


class Server:
    """Writes a log as a server would, whose clock shows `zone` seconds more than UTC."""

    def __init__(self, path: Path, zone: float = 0.0) -> None:
        self.path = path
        self.log = Log(path)
        self._zone = zone
        path.touch()

    def stamp(self, at: float) -> str:
        """Give the time as vLLM writes it."""
        return datetime.fromtimestamp(at + self._zone, UTC).strftime("%m-%d %H:%M:%S")

    def says(self, at: float, text: str) -> None:
        """Write a line; where it has {}, the time is put."""
        with self.path.open("a") as file:
            file.write(text.replace("{}", self.stamp(at), 1) + "\n")
        os.utime(self.path, (at, at))

    def counts(self, at: float, running: int) -> None:
        """Write a line of statistics."""
        self.says(at, LINE.replace("Running: {}", f"Running: {running}"))

    def running(self, at: float) -> float | None:
        """Look, and give the number of running requests."""
        readings, _ = self.log.look(at)
        return next((one.value for one in readings if one.metric == catalog.RUNNING), None)

    def fact(self, name: str, at: float = AT) -> str | None:
        """Look, and give a fact."""
        return next((fact.value for fact in self.log.look(at)[1] if fact.name == name), None)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "vllm.log")


def known(text: str) -> Stats | None:
    return stats(read(plain(text)))


def test_formats() -> None:
    """Every form that the line of statistics has had gives exactly what its golden says; other lines give nothing."""
    told = []
    for line in FORMATS:
        if line.startswith("#"):
            told.append(line)
            continue
        found, hits = known(line), v0_hits(read(line))
        told.append(json.dumps(asdict(found)) if found else f"hit ratio {hits}" if hits is not None else "nothing")
    compare(CAPTURES / "formats.golden", "\n".join(told) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str, tmp_path: Path) -> None:
    """Each captured log, looked at two seconds after its last line, gives exactly what its golden says."""
    text = (CAPTURES / f"{name}.txt").read_text()
    last = re.findall(r"\d\d-\d\d \d\d:\d\d:\d\d", text)[-1]
    at = datetime.strptime(f"2026-{last}+0000", "%Y-%m-%d %H:%M:%S%z").timestamp() + 2
    path = tmp_path / "log"
    path.write_text(text)
    os.utime(path, (at, at))
    readings, facts = Log(path).look(at)
    lines = [
        f"{one.metric}{{{','.join(f'{key}={value}' for key, value in one.labels)}}} {one.value!r} {at - one.at:g} s ago"
        for one in readings
    ]
    lines += [f"{fact.name} = {fact.value} ({fact.why})" for fact in facts]
    compare(CAPTURES / f"{name}.golden", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_of_a_capture_is_told(name: str) -> None:
    """No key, token or password that stands in a captured log is in its golden."""
    assert "invented" not in (CAPTURES / f"{name}.golden").read_text().replace(", numbers and keys invented", "")


def test_readings_fit_the_catalogue(server: Server) -> None:
    """Every reading is a catalogued metric with its labels, at the time of its line."""
    server.says(AT - 5, LINE.replace("Running: {}", "Running: 3") + ", Prefix cache hit rate: 92.0%")
    readings, facts = server.log.look(AT)

    for reading in readings:
        assert {*catalog.METRICS[reading.metric].labels} - {"target"} == {key for key, _ in reading.labels}
        assert AT - 5 == reading.at
    assert {fact.name for fact in facts} <= catalog.FACTS.keys()
    assert {
        catalog.RUNNING: 3.0,
        catalog.WAITING: 14.0,
        catalog.KV_USAGE: 0.765,
        catalog.PROMPT_RATE: 12.5,
        catalog.GENERATION_RATE: 24.9,
        catalog.PREFIX_REPORTED: 0.92,
    } == {reading.metric: reading.value for reading in readings}


WRAPS: dict[str, Callable[[str], str]] = {
    "colours": lambda line: f"\x1b[36m{line[:8]}\x1b[0;1m{line[8:]}\x1b[0m",
    "carriage return": lambda line: f"{line}\r",
    "progress bar": lambda line: f"Loading 'x':  50%|{'#' * 300}  | 1/2\r\x1b[A{line}",
    "docker": lambda line: json.dumps(
        {"log": line + "\n", "stream": "stderr", "time": "2026-11-21T11:59:57.123456789Z"}
    ),
    "docker, tagged": lambda line: json.dumps({"log": line + "\n", "stream": "stdout", "attrs": {"tag": "x"}}),
    "kubernetes": lambda line: f"2026-11-21T13:59:57.123456789+02:00 stdout F {line}",
    "journal": lambda line: f"Nov 21 11:59:57 node-1 vllm[870]: {line}",
    "docker logs -t": lambda line: f"2026-11-21T11:59:57.108632509Z {line}",
    "prefix": lambda line: f"[my service] {line}",
}


@pytest.mark.parametrize("wrap", WRAPS)
def test_wrapped(wrap: str) -> None:
    """Whatever stands around them, lines in vLLM's own format say the same."""
    lines = [line for line in LINES if "INFO" in line]
    wrapped = [entry.text for entry in Unwrapper().entries(map(WRAPS[wrap], lines))]

    assert [known(line) for line in lines] == [stats(read(text)) for text in wrapped]


MESSAGE = "Engine 001: Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 2.0 tokens/s, Running: 3 reqs, \
Waiting: 4 reqs, GPU KV cache usage: 5.0%, Prefix cache hit rate: 6.0%"


@pytest.mark.parametrize(
    "line",
    [
        "INFO 11-21 00:06:21 [v1/metrics/loggers.py:335] {}",
        "(RustFrontend pid=7) INFO 11-21 00:06:21 [stats.rs:90] {}",
        "INFO [loggers.py:335] {}",
        "2026-11-21 00:06:21,123 - vllm.v1.metrics.loggers - INFO - {}",
        "2026-11-21T00:06:21.123456Z  INFO vllm_frontend::stats: {}",
        "INFO:vllm.v1.metrics.loggers:{}",
        "[2026-11-21 00:06:21] [INFO] {}",
        "00:06:21 | INFO | {}",
        "(APIServer pid=8) {}",
        '{"asctime": "11-21 00:06:21", "levelname": "INFO", "process": 8, "message": "{}"}',
        '(APIServer pid=8) {"message": "{}"}',
        '{"asctime": null, "levelname": ["INFO"], "message": "{}"}',
    ],
)
def test_configured_formats(line: str) -> None:
    """Formats that operators configure are understood: the message counts, not what stands before it."""
    found = known(line.replace("{}", MESSAGE))

    assert Stats("1", "V1", 3.0, 4.0, 1.0, 2.0, 0.05, 0.06, "last_1000_requests") == found


@pytest.mark.parametrize(
    "line",
    [
        f"INFO 11-21 00:06:21 [logger.py:41] Received request chat-1: prompt: 'Say {MESSAGE}', params: None",
        f'INFO 11-21 00:06:21 [logger.py:41] Received request chat-1: prompt: "{MESSAGE}", params: None',
        f"INFO 11-21 00:06:21 [logger.py:41] Received request {MESSAGE}: prompt: '', params: None",
        f"INFO 11-21 00:06:21 [logger.py:41] Received request x - {MESSAGE}",
        f"{MESSAGE}, 'and more'",
        json.dumps({"log": MESSAGE, "stream": "stdout"}),
        json.dumps({"message": {"text": MESSAGE}}),
        json.dumps([MESSAGE]),
    ],
)
def test_what_users_sent(line: str) -> None:
    """What looks like statistics within another line, such as a prompt that was logged, is none."""
    assert known(line) is None


@pytest.mark.parametrize("line", LINES)
def test_cut_line(line: str) -> None:
    """A line that was cut anywhere tells nothing that the whole one does not."""
    whole = asdict(known(line) or Stats("", "", 0, 0))
    for end in range(len(line)):
        found = known(line[:end])
        for key, value in (asdict(found) if found else {}).items():
            if key not in {"window", "generation"}:  # what is cut off may be what tells them
                assert value in {None, whole[key]}


@pytest.mark.parametrize(
    ("rest", "usage", "hits"),
    [
        ("KV cache usage: nan%, Prefix cache hit rate: inf%", None, None),
        ("GPU KV cache usage: 100.1%, Prefix cache hit rate: 250.0%", None, None),
        ("GPU KV cache usage: 100.0%, Prefix cache hit rate: 0.0%", 1.0, 0.0),
        ("GPU KV cache usage: -1.0%, External prefix cache hit rate: 50.0%", None, None),
        ("Later: 9 (new), TPU KV cache usage: 7.0%, Of tomorrow: 1.5 x/s", 0.07, None),
    ],
)
def test_odd_fields(rest: str, usage: float | None, hits: float | None) -> None:
    """Fields that are no ratio are absent, unknown ones are passed over."""
    found = known(f"INFO 11-21 00:06:21 [loggers.py:87] Running: 1 reqs, Waiting: 2 reqs, {rest}")

    assert found is not None
    assert (1.0, 2.0, usage, hits) == (found.running, found.waiting, found.usage, found.hits)


def test_v0_without_prefix_caching(server: Server) -> None:
    """V0 says -100 % where its cache is off, which is no ratio; its second line alone belongs to nothing."""
    server.says(AT - 5, "INFO {} metrics.py:412] Prefix cache hit rate: GPU: 41.90%, CPU: 0.00%")
    before = server.log.look(AT)[0]
    server.says(AT, LINES[0])
    server.says(AT, "INFO {} metrics.py:412] Prefix cache hit rate: GPU: -100.00%, CPU: 0.00%")
    after = server.log.look(AT)[0]

    assert () == before
    assert catalog.PREFIX_REPORTED not in {reading.metric for reading in after}


def test_old_line_is_no_reading(server: Server) -> None:
    """An idle server logs nothing: after three of its intervals the last line says nothing any more."""
    for second in (-20, -10, 0):
        server.counts(AT + second, 1)

    assert [1.0, 1.0, None] == [server.running(AT + seconds) for seconds in (0, 30, 31)]


def test_interval_of_the_lines(server: Server) -> None:
    """Where lines come every 45 s, each counts three times as long; a lonely pair of bursts changes nothing."""
    for second in (-90, -45, 0):
        server.counts(AT + second, 1)
    slow = [server.running(AT + seconds) for seconds in (135, 136)]
    for second in (3600, 7200):
        server.counts(AT + second, 2)

    assert [1.0, None] == slow
    assert [2.0, None] == [server.running(AT + 7200 + seconds) for seconds in (135, 136)]


def test_interval_of_two_lines(server: Server) -> None:
    """Two lines do not make an interval: between them the server may have been idle."""
    for second in (-50, 0):
        server.counts(AT + second, 1)

    assert [1.0, None] == [server.running(AT + seconds) for seconds in (30, 31)]


def test_longest_interval(server: Server) -> None:
    """No more than a minute is believed to be an interval: a line per hour is old after three minutes."""
    for hour in (-2, -1, 0):
        server.counts(AT + 3600 * hour, 1)

    assert [1.0, None] == [server.running(AT + seconds) for seconds in (180, 181)]


@pytest.mark.parametrize("zone", [0, 8 * 3600, -3.5 * 3600, 14 * 3600])
def test_any_time_zone(tmp_path: Path, zone: float) -> None:
    """A stamp counts in the time zone of the server, which its file's time tells."""
    server = Server(tmp_path / "log", zone)
    server.counts(AT - 25, 1)
    server.says(AT - 5, "INFO {} [x.py:1] something else")

    assert [1.0, None] == [server.running(AT), server.running(AT + 6)]


def test_last_line_without_a_stamp(tmp_path: Path) -> None:
    """Where access lines hide the file's age the time zone is taken to be ours, and a line in the future is none."""
    ours = time.localtime(AT).tm_gmtoff
    found = []
    for zone in (ours, ours + 3600, ours - 3600):
        server = Server(tmp_path / f"log{zone}", zone)
        server.counts(AT - 5, 1)
        server.says(AT, 'INFO:     127.0.0.1:1 - "GET /metrics HTTP/1.1" 200 OK')
        found.append(server.running(AT))
        server.counts(AT + 5, 2)
        server.says(AT + 9, 'INFO:     127.0.0.1:1 - "GET /metrics HTTP/1.1" 200 OK')
        found.append(server.running(AT + 10))

    assert [1.0, 2.0, None, 2.0, None, 2.0] == found


def test_another_clock(tmp_path: Path) -> None:
    """Where the server's clock is wrong, what came since the last look is as old as that look at most."""
    server = Server(tmp_path / "log", -400.0)
    server.running(AT)
    server.counts(AT + 5, 1)

    assert [1.0, 1.0, None] == [server.running(AT + seconds) for seconds in (15, 30, 31)]


def test_another_clock_of_the_container(server: Server) -> None:
    """Where the container's clock is ahead of ours, what came since the last look still counts."""
    server.running(AT)
    line = LINE.replace("{}", "01-01 00:00:00", 1).replace("{}", "3")
    server.says(AT, json.dumps({"log": line + "\n", "stream": "stdout", "time": "2026-11-21T12:10:00Z"}))

    assert [3.0, None] == [server.running(AT + seconds) for seconds in (15, 46)]


def test_copied_log(server: Server) -> None:
    """A log whose file is days younger than its last line, as a copy's is, gives no readings."""
    server.counts(AT - 3 * 86_400 - 5, 1)
    os.utime(server.path, (AT, AT))

    assert server.running(AT) is None


def test_no_stamp_at_all(server: Server) -> None:
    """Without stamps the last line is as old as the file, and those before it only count where they are new."""
    line = f"INFO [loggers.py:1] {MESSAGE}"
    server.says(AT - 50, line)
    found = [server.running(AT)]
    server.says(AT + 4, line)
    found.append(server.running(AT + 10))
    server.says(AT + 50, line)
    server.says(AT + 52, "(APIServer pid=8) hello")
    found.append(server.running(AT + 60))

    assert [None, 3.0, 3.0] == found


def test_turn_of_the_year(tmp_path: Path) -> None:
    """A line of December is not of next December, one of January not of the last one, wherever the year turns first;
    a 29th of February is of a leap year; a 30th is of none.
    """
    january = datetime(2027, 1, 1, 0, 0, 5, tzinfo=UTC).timestamp()
    leap = datetime(2028, 2, 29, 12, 0, 0, tzinfo=UTC).timestamp()
    found = []
    for at, zone in ((january, 0), (january - 3600, 7200), (leap, 0)):
        server = Server(tmp_path / f"log{at}", zone)
        server.counts(at - 10, 1)
        server.says(at, "INFO {} [x.py:1] something else")
        found.append(server.running(at))
        server.says(at, LINE.replace("{}", "02-30 12:00:00", 1).replace("{}", "2"))
        found.append(server.running(at + 1))

    assert [1.0, 2.0] * 3 == found


def test_time_of_the_container(server: Server) -> None:
    """Docker's time counts, whatever the clock within the container says."""
    line = LINE.replace("{}", "01-01 00:00:00", 1).replace("{}", "3")
    server.says(AT, json.dumps({"log": line + "\n", "stream": "stdout", "time": "2026-11-21T11:59:50.5Z"}))

    assert [3.0, None] == [server.running(AT + 20), server.running(AT + 21)]


def test_line_that_docker_cut() -> None:
    """Docker and Kubernetes cut long lines; the parts are joined over looks, each stream's own, up to a bound."""
    parts = [("stdout", "01234"), ("stderr", "abc"), ("stdout", "56789\n"), ("stderr", "def\n")]
    unwrapper = Unwrapper()
    docker = [
        [entry.text for entry in unwrapper.entries([json.dumps({"log": text, "stream": stream})])]
        for stream, text in parts
    ]
    time_ = "2016-10-06T00:17:09.669794202Z"
    kubernetes = [f"{time_} stdout P 01234", f"{time_} stdout P:tag 56789", f"{time_} stdout F ."]
    long = [json.dumps({"log": "x" * 16_384, "stream": "stdout"})] * 5 + [
        json.dumps({"log": text, "stream": "stdout"}) for text in ("end\n", "next\n")
    ]

    assert [[], [], ["0123456789"], ["abcdef"]] == docker
    assert ["0123456789."] == [entry.text for entry in Unwrapper().entries(kubernetes)]
    assert LONGEST < 5 * 16_384
    assert ["next"] == [entry.text for entry in Unwrapper().entries(long)]


def test_part_before_a_gap(server: Server) -> None:
    """What was cut before lines were lost is not joined with what comes after."""
    half = json.dumps({"log": LINE[:60], "stream": "stdout"})
    server.says(AT, half)
    server.log.look(AT)
    server.path.write_text("")
    server.says(AT, json.dumps({"log": f"INFO [loggers.py:1] {MESSAGE}\n", "stream": "stdout"}))

    assert 3.0 == server.running(AT)


def test_start(server: Server) -> None:
    """The first lines are kept as facts over looks; what was not seen of them is told with why."""
    unseen = server.log.look(AT)[1]
    server.says(AT, BANNER)
    server.says(AT, "(APIServer pid=8) INFO {} [utils.py:1] non-default args: {'model': 'x', 'api_key': ['y']}")
    server.says(AT, ENGINE)
    server.says(
        AT,
        "(EngineCore pid=9) INFO {} [kv.py:1] NPU KV cache size: 1,024 tokens, Maximum concurrency for 512 \
tokens per request: 2.00x",
    )
    seen = [{fact.name: fact.value for fact in server.log.look(AT + later)[1]} for later in (0, 15)]

    assert {catalog.LOG_ARGUMENTS, catalog.LOG_CONCURRENCY} == {fact.name for fact in unseen if fact.why}
    told = {
        catalog.VERSION: "0.32.0",
        catalog.ENGINE: "V1",
        catalog.KV_TOKENS: "1024",
        catalog.LOG_ARGUMENTS: "model='x', api_key=***",
        catalog.LOG_CONCURRENCY: "2.0",
    }
    assert [told, told] == seen


def test_restart(server: Server) -> None:
    """What was known of the run before ends with the first line of the next one, its statistics too."""
    server.says(AT, BANNER.replace("0.32.0", "0.31.0"))
    server.says(AT, "INFO {} [utils.py:1] non-default args: {'model': 'x'}")
    server.says(AT, ENGINE.replace("0.32.0", "0.31.0"))
    server.counts(AT, 1)
    before = server.running(AT)
    server.says(AT + 1, BANNER)

    assert (1.0, None, "0.32.0", None, None) == (
        before,
        server.running(AT + 1),
        server.fact(catalog.VERSION),
        server.fact(catalog.LOG_ARGUMENTS),
        server.fact(catalog.ENGINE),
    )


@pytest.mark.parametrize(
    ("line", "engine"),
    [
        ("INFO 10-24 11:00:05 llm_engine.py:237] Initializing an LLM engine (v0.6.3) with config: x", "V0"),
        ("INFO 01-28 11:00:05 core.py:45] Initializing an LLM engine (v0.7.0) with config: x", "V1"),
        ("INFO 02-14 11:00:05 llm_engine.py:234] Initializing a V0 LLM engine (v0.7.2) with config: x", "V0"),
        (LINES[0], "V0"),
        (LINES[3], "V1"),
    ],
)
def test_engine(line: str, engine: str) -> None:
    """Which engine runs is told by its first line, by that line's source file, or by how it counts."""
    assert engine == Run().heard(read(line), AT).engine


def test_missing_log(tmp_path: Path) -> None:
    """A log that cannot be read is told, and counts again once it can be."""
    path = tmp_path / "later.log"
    log = Log(path)
    with pytest.raises(LookError, match="is not there: start vLLM with its output appended to it"):
        log.look(AT)
    server = Server(path)
    server.counts(AT, 1)

    assert catalog.RUNNING in {reading.metric for reading in log.look(AT)[0]}


async def test_bound(tmp_path: Path) -> None:
    """A log_file is looked at beside the server; without one the look says which setting is missing."""
    path = tmp_path / "log"
    path.write_text(f"INFO [loggers.py:1] {MESSAGE}\n")
    bound, unbound = others(Settings(), Target(log_file=str(path))), others(Settings(), Target())
    asked = others(Settings(), Target(), ("vllm_log",))
    seen = await run("vllm_log", bound["vllm_log"], 10.0)
    failed = await run("vllm_log", asked["vllm_log"], 10.0)

    assert "vllm_log" not in unbound
    assert catalog.RUNNING in {reading.metric for reading in seen.readings}
    assert "log_file is not set for this server: name the file that vLLM's output goes to" == failed.error


@pytest.mark.parametrize(("log_stats", "running"), [(False, 9.0), (True, 0.0)])
async def test_heart(tmp_path: Path, log_stats: bool, running: float) -> None:  # noqa: FBT001 - pytest passes by name
    """The log counts where the server has no metrics; what it alone tells is shown in any case."""
    log = tmp_path / "vllm.log"
    line = LINE.replace("Running: {}", "Running: 9")
    log.write_text(f"{line.replace('{}', time.strftime('%m-%d %H:%M:%S'))}\n")
    async with (
        simulated(log_stats=log_stats) as server,
        world(tmp_path / "m.db", server.url) as here,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as client,
    ):
        chosen = settings_for(server.url, "", "on", "")
        plan = pulse(NAME, chosen.target[NAME], chosen)
        look = others(chosen, Target(url=server.url, log_file=str(log)))["vllm_log"]
        stopwatch = Stopwatch(Calm)
        heart = Heart(
            plan,
            partial(vllm.look, client),
            bird(client, stopwatch),
            stopwatch,
            here.store,
            REMOTE,
            partial(tell, chosen),
            (("vllm_log", look),),
        )
        await heart.wake()
        beat = await heart.beat()
    told = [(reading.metric, reading.value) for reading in beat.readings if reading.metric in ASKED]

    assert ["vllm", "vllm_log"] == [snapshot.source for snapshot in beat.snapshots]
    assert {catalog.RUNNING: running, catalog.PROMPT_RATE: 12.5} == dict(told)
    assert len(told) == len(ASKED)


def test_beside_the_servers_own_figures() -> None:
    """What the server itself tells counts; of the log only what it does not tell."""
    pairs = labels(engine="0")
    log = Snapshot(
        "vllm_log",
        AT,
        0.0,
        (Reading(catalog.RUNNING, 9.0, AT, pairs), Reading(catalog.PROMPT_RATE, 1.0, AT, pairs)),
        (Fact(catalog.VERSION, "0.1"), Fact(catalog.KV_TOKENS, "8")),
    )
    facts = (Fact(catalog.VERSION, "0.32.0"), Fact(catalog.KV_TOKENS, None, why="not exported"))
    own = Snapshot("vllm", AT, 0.0, (Reading(catalog.RUNNING, 1.0, AT, pairs),), facts)
    silent = Snapshot("vllm", AT, 0.0, (Reading(catalog.VLLM_UP, 1.0, AT),), facts[1:])

    left = beside(log, own)
    assert ([catalog.PROMPT_RATE], [catalog.KV_TOKENS]) == (
        [reading.metric for reading in left.readings],
        [fact.name for fact in left.facts],
    )
    assert log == beside(log, silent)


@settings(max_examples=300)
@given(text=st.text() | st.text(" 0189.,:%-_()[]{}'\"RunigWatsAvgEe\x1b[\r"))
@example('{"log": ' + "[" * 60_000)
@example('{"message": "\\ud800", "asctime": "\\ud800"}')
@example('{"log": "x", "stream": []}')
@example('{"log": "x\\n", "stream": "stdout", "time": "soon"}')
@example("2026-99-21T13:59:57.1Z stdout F x")
def test_garbage(text: str) -> None:
    """Whatever a line is, it is understood or passed over; what is told of it can be written."""
    for entry in Unwrapper().entries([text, '{"log": "' + text + '\\n", "stream": "stdout"}']):
        told = Run().heard(read(entry.text), AT)
        assert all(math.isfinite(value) for one in told.latest.values() for value in numbers(one.stats))
        str(told).encode()


@settings(max_examples=300)
@given(data=st.data())
def test_mutated_lines(data: st.DataObject) -> None:
    """Lines with parts that are cut out, doubled or glued give finite numbers in their bounds, or nothing."""
    line = data.draw(st.sampled_from(LINES))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(line)), min_size=2, max_size=2)))
    glue = data.draw(st.sampled_from(["", line[cuts[0] : cuts[1]] * 2, "%", ", ", "9" * 30, "\0", "é"]))
    found = known(line[: cuts[0]] + glue + line[cuts[1] :])

    if found is not None:
        assert all(math.isfinite(value) and value >= 0 for value in numbers(found))
        assert all(value is None or value <= 1 for value in (found.usage, found.hits))


@settings(max_examples=100)
@given(content=st.lists(st.binary(max_size=80) | st.sampled_from(LINES).map(str.encode), max_size=12))
def test_any_file(content: list[bytes]) -> None:
    """Whatever bytes a log holds, a look at it succeeds, and what it gives can be exported."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.touch()
        log = Log(path)
        log.look(AT)
        path.write_bytes(b"\n".join(content) + b"\n")
        os.utime(path, (AT, AT))
        readings, facts = log.look(AT)

    assert len({(reading.metric, reading.labels) for reading in readings}) == len(readings)
    assert all(math.isfinite(reading.value) and reading.metric in catalog.METRICS for reading in readings)
    assert all((fact.value is None) == bool(fact.why) for fact in facts)


def numbers(found: Stats) -> list[float]:
    return [value for value in asdict(found).values() if isinstance(value, float)]
