"""The routes: what scrapers and health checks get."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from examples import AT, baseline, finding, open_finding, probe
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from monitor import catalog
from monitor.export.board import Board, Periods
from monitor.model import (
    STATES,
    Acceptance,
    Beat,
    Condition,
    Event,
    Judgement,
    Near,
    Reading,
    Rule,
    Ruling,
    Snapshot,
    Standing,
    State,
)
from monitor.web.app import create_app
from monitor.web.status import MOST_EVENTS

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PERIODS = Periods(15.0, 60.0, 15.0)
UP = (catalog.VLLM_UP, {"target": "llama"}, 1.0)


class Clock:
    """The time that a board sees."""

    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> float:
        """Give the time."""
        return self.at


def beat(target: str = "llama", error: str = "", **changes: Any) -> Beat:
    up = (Reading(catalog.VLLM_UP, float(not error), AT),)
    state: State = "dead" if error else "alive"
    seen = Beat(target, AT, 0.1, (Snapshot("vllm", AT, 0.1, up, (), error),), up, (), (), (), None, state)
    return replace(seen, **changes)


async def told(client: httpx.AsyncClient) -> tuple[Any, str]:
    """Give what is said of the first target as JSON, and the page."""
    document = (await client.get("/api/v1/status")).json()
    page = await client.get("/")
    assert (200, "text/html; charset=utf-8") == (page.status_code, page.headers["content-type"])
    return document["targets"][0], page.text


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(PERIODS, clock)


@pytest.fixture
async def client(board: Board) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(board, ["llama", "qwen"]))
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as made:
        yield made


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "text/html", "application/json", "what/ever;q=x"])
async def test_metrics_as_text(board: Board, client: httpx.AsyncClient, accept: str) -> None:
    """Who does not ask for anything better gets Prometheus's text format."""
    board.show(beat(), stored=True)
    answer = await client.get("/metrics", headers={"Accept": accept})

    assert (200, TEXT) == (answer.status_code, answer.headers["content-type"])
    assert UP in [
        (sample.name, sample.labels, sample.value) for family in parse_text(answer.text) for sample in family.samples
    ]


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=1.0.0", PROMETHEUS])
async def test_metrics_as_openmetrics(board: Board, client: httpx.AsyncClient, accept: str) -> None:
    """Prometheus itself gets OpenMetrics."""
    board.show(beat(), stored=True)
    answer = await client.get("/metrics", headers={"Accept": accept})

    assert (200, OPENMETRICS) == (answer.status_code, answer.headers["content-type"])
    families = list(parse_openmetrics(answer.text))  # type: ignore[no-untyped-call] # left untyped
    assert UP in [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


async def test_the_monitor_shows_its_own_process(client: httpx.AsyncClient) -> None:
    """Our own memory and CPU are shown from the start."""
    text = (await client.get("/metrics")).text

    assert {"process_resident_memory_bytes", "process_cpu_seconds"} <= {family.name for family in parse_text(text)}


async def test_metrics_are_read_only(client: httpx.AsyncClient) -> None:
    """Nothing can be changed over HTTP, and what is not there says so."""
    assert 405 == (await client.post("/metrics")).status_code
    assert 404 == (await client.get("/nothing")).status_code


async def test_healthy_while_every_heart_beats(board: Board, client: httpx.AsyncClient, clock: Clock) -> None:
    """Healthy is 200 only while no heart has missed three beats, and names those that have."""

    async def healthy() -> tuple[int, str]:
        answer = await client.get("/-/healthy")
        return answer.status_code, answer.text

    assert (503, "no heartbeat lately: llama, qwen\n") == await healthy()
    board.show(beat("llama"), stored=True)
    assert (503, "no heartbeat lately: qwen\n") == await healthy()
    board.show(beat("qwen"), stored=True)
    assert (200, "ok\n") == await healthy()
    clock.at = AT + 45
    assert (200, "ok\n") == await healthy()
    clock.at = AT + 45.1
    assert (503, "no heartbeat lately: llama, qwen\n") == await healthy()


async def test_ready_once_every_target_was_looked_at(board: Board, client: httpx.AsyncClient, clock: Clock) -> None:
    """Ready is 503 until each target was really looked at, and 200 from then on."""

    async def ready() -> tuple[int, str]:
        answer = await client.get("/-/ready")
        return answer.status_code, answer.text

    assert (503, "not looked at yet: llama, qwen\n") == await ready()
    board.show_open("llama", (open_finding(),), AT)
    board.show_open("qwen", (), AT)
    assert (503, "not looked at yet: llama, qwen\n") == await ready()
    board.show(beat("llama"), stored=True)
    assert (503, "not looked at yet: qwen\n") == await ready()
    board.show(beat("qwen"), stored=True)
    clock.at = AT + 1e6
    assert (200, "ok\n") == await ready()


async def test_a_server_that_is_down_makes_us_neither_unhealthy_nor_unready(
    board: Board, client: httpx.AsyncClient
) -> None:
    """The monitor's health is its own: a restart of it would not mend the server."""
    for target in ("llama", "qwen"):
        board.show(beat(target, "does not answer"), stored=False)

    assert [200, 200] == [(await client.get(path)).status_code for path in ("/-/healthy", "/-/ready")]


@pytest.mark.parametrize("state", STATES)
async def test_the_state_is_told(board: Board, client: httpx.AsyncClient, clock: Clock, state: State) -> None:
    """The state that the server is in is told in one word, until nobody knows it any more."""
    board.show(beat(state=state), stored=True)
    document, page = await told(client)

    assert state == document["state"]
    assert f">{state}</span>" in page

    clock.at = AT + 45.1
    document, page = await told(client)

    assert document["state"] is None
    assert f">{state}</span>" not in page


async def test_nothing_is_known_yet(board: Board, client: httpx.AsyncClient) -> None:
    """Before the first look there is a page, and nothing on it is made up; what was open before is told."""
    for _ in range(2):
        document, page = await told(client)

        assert [None, None, None, []] == [document[key] for key in ("state", "muted_until", "model", "events")]
        assert "no heartbeat" in page
        board.show_open("llama", (open_finding(),), AT)

    assert [open_finding().finding.summary] == [one["summary"] for one in document["findings"]]


@pytest.mark.parametrize(("paging", "said"), [(False, True), (True, False)])
async def test_what_shadow_holds_back_is_counted(clock: Clock, paging: bool, said: bool) -> None:  # noqa: FBT001 - parameters of the cases
    """Troubles that begin are counted once; in shadow the page says how many there were."""
    board = Board(PERIODS, clock, paging=paging)
    board.show_open("llama", (), AT)
    for open_findings in ((), (open_finding(),), (open_finding(),)):
        board.show(replace(beat(), open=open_findings), stored=True)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(board, ["llama"])), base_url="http://monitor"
    ) as client:
        document, page = await told(client)

    assert 1 == document["pages"]
    assert said is ("it would have paged 1 time for this server" in page)


@pytest.mark.parametrize("stored", [True, False])
async def test_a_full_disk_is_told(board: Board, client: httpx.AsyncClient, stored: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """That nothing can be stored stands in the status and, in words, on the page."""
    board.show(replace(beat(), open=()), stored=stored)
    document, page = await told(client)

    assert (stored, stored) == (document["stored"], "The store cannot be written" not in page)


async def test_a_mute_is_told_with_its_end_and_reason(board: Board, client: httpx.AsyncClient, clock: Clock) -> None:
    """While a target is muted, until when and why is told; not any longer, even before the next beat."""
    events = (Event("mute", AT - 60, AT + 5, "a short one"), Event("mute", AT - 30, AT + 10, "driver <update>"))
    board.show(beat(events=events, muted_until=AT + 10), stored=True)
    document, page = await told(client)

    assert (AT + 10, "driver <update>") == (document["muted_until"], document["muted_reason"])
    assert "2027-01-15 08:00:10 UTC" == document["muted_until_utc"]
    assert "Muted until 2027-01-15 08:00:10 UTC: driver &lt;update&gt;.</p>" in page

    clock.at = AT + 10
    document, page = await told(client)

    assert [None] * 3 == [document[f"muted_{what}"] for what in ("until", "until_utc", "reason")]
    assert "Muted" not in page


async def test_what_happened_last_is_told(board: Board, client: httpx.AsyncClient) -> None:
    """Annotations and restarts are told with their moments, the newest first and a few only; the rest is no news."""
    notes = [Event("annotation", AT + number, AT + number, f"deploy {number}") for number in range(MOST_EVENTS)]
    others = (Event("mute", AT, AT + 60, "hush"), Event("capture", AT, AT + 60))
    board.show(beat(events=(*notes, *others, Event("restart", AT + 9, AT + 9))), stored=True)
    document, page = await told(client)

    expected = ["", *(note.text for note in notes[:0:-1])]
    assert expected == [event["text"] for event in document["events"]]
    assert {"kind": "restart", "at": AT + 9, "at_utc": "2027-01-15 08:00:09 UTC", "text": ""} == document["events"][0]
    assert '<tr><th>restart</th><td>vLLM restarted <span class="dim">2027-01-15 08:00:09 UTC</span></td></tr>' in page
    assert '<tr><th>annotation</th><td>deploy 1 <span class="dim">2027-01-15 08:00:01 UTC</span></td></tr>' in page
    assert "deploy 0" not in page


async def test_the_warm_ratio_is_told(board: Board, client: httpx.AsyncClient) -> None:
    """What caching gives is told of the profile that measures it, and absent for the others."""
    board.show(beat(probes=(probe(), probe(profile="warm", cold_ttft=0.25, tpot=None))), stored=True)
    document, page = await told(client)

    assert [("short", None), ("warm", 0.2)] == [(one["profile"], one["warm_ratio"]) for one in document["canary"]]
    assert 1 == page.count("warm / cold")
    assert "TTFT 50.0 ms, E2E 200.0 ms, warm / cold 0.20" in page


async def test_metrics_have_names_for_people(board: Board, client: httpx.AsyncClient) -> None:
    """What is judged is named as people write it."""
    judgements = (Judgement("itl_max", "stall", 1.5, ""), Judgement("warm_ratio", "warm", None, "no probes yet"))
    board.show(beat(judgements=judgements), stored=True)
    document, page = await told(client)

    assert ["ITL max", "warm / cold TTFT"] == [one["title"] for one in document["judgements"]]
    assert "<th>ITL max, stall</th><td>1.50 of the baseline</td>" in page
    assert '<th>warm / cold TTFT, warm</th><td><span class="dim">not judged: no probes yet</span></td>' in page


WANTED = Condition("vm.swappiness", "at most", ("1",))
RULE = Rule("host.swappiness", "host", WANTED, (), "warning", "Why.", "Fix.", "ascend 5.2")
RULINGS = (
    Ruling(replace(RULE, id="host.thp"), "match", "never", "/sys/thp"),
    Ruling(replace(RULE, id="host.epp"), "unreadable", path="/sys/epp", why="no cpufreq"),
    Ruling(replace(RULE, id="ascend.x"), "elsewhere"),
    Ruling(replace(RULE, id="host.zone", ask=replace(WANTED, fact="vm.zone")), "mismatch", "7"),
    Ruling(RULE, "mismatch", "<60>", "/proc/sys/vm/swappiness"),
    Ruling(replace(RULE, id="host.governor"), "unreadable", path="/sys/governor", why="no cpufreq"),
)
DRIFT = open_finding(
    finding(
        "tuning:llama:cpu.governor",
        kind="tuning",
        subject="cpu.governor",
        remedy="restore it",
        onset=AT - 60,
        observed="powersave",
        expected="performance",
        evidence={"change": "cpu.governor performance → <powersave>"},
        near=(Near("short TPOT +14%", AT - 30),),
    )
)
OPEN_RULE = open_finding(finding("rule:llama:host.swappiness", kind="tuning", subject="host.swappiness", onset=None))
SLOW = open_finding(finding(near=(Near("cpu.governor performance → <powersave>", AT - 60, "cpu.governor"),)))
TUNED: dict[str, Any] = {
    "rulings": RULINGS,
    "open": (SLOW, DRIFT, OPEN_RULE),
    "accepted": (Acceptance("", "vm.zone", "7", AT - 90), Acceptance("llama", "vllm.version", "<i>", AT - 30)),
    "baseline": baseline(),
}


async def tuning_told(client: httpx.AsyncClient) -> Any:
    return (await client.get("/api/v1/tuning")).json()["targets"]


async def test_tuning_is_told(board: Board, client: httpx.AsyncClient) -> None:
    """Each rule that applies is told with what it wants, what is and what to do, the gravest trouble first; what
    differs from the baseline with since when and what came with it; and what is accepted.
    """
    board.show(beat(**TUNED), stored=True)
    told, unseen = await tuning_told(client)

    assert ("llama", "good-day", AT) == (told["target"], told["baseline"], told["at"])
    assert {"match": 1, "mismatch": 1, "unreadable": 2, "accepted": 1} == told["counts"]
    assert ["host.swappiness", "host.zone", "host.epp", "host.governor", "host.thp"] == [
        one["rule"] for one in told["rules"]
    ]
    assert {
        "rule": "host.swappiness",
        "fact": "vm.swappiness",
        "expected": "at most 1",
        "actual": "<60>",
        "outcome": "mismatch",
        "severity": "warning",
        "path": "/proc/sys/vm/swappiness",
        "why": "Why.",
        "fix": "Fix.",
        "guide": "ascend 5.2",
        "needs": "",
        "accepted": False,
        "since": None,
        "since_utc": None,
        "came_with": [],
    } == told["rules"][0]
    assert [None, "no cpufreq"] == [told["rules"][2][key] for key in ("actual", "needs")]
    assert [
        {
            "fact": "cpu.governor",
            "expected": "performance",
            "actual": "powersave",
            "change": "cpu.governor performance → <powersave>",
            "severity": "warning",
            "fix": "restore it",
            "since": AT - 60,
            "since_utc": "2027-01-15 07:59:00 UTC",
            "came_with": [{"what": "short TPOT +14%", "at": AT - 30, "at_utc": "2027-01-15 07:59:30 UTC"}],
        }
    ] == told["drift"]
    assert [{"needs": "no cpufreq", "rules": ["host.epp", "host.governor"]}] == told["unreadable"]
    assert [("node", "vm.zone", "7"), ("target", "vllm.version", "<i>")] == [
        (one["scope"], one["fact"], one["value"]) for one in told["accepted"]
    ]
    assert ("qwen", None, []) == (unseen["target"], unseen["at"], unseen["rules"])


async def test_tuning_is_on_the_page(board: Board, client: httpx.AsyncClient) -> None:
    """The page shows what is wrong and why, what changed and what came with it, and counts the rest; what other
    processes say stays text.
    """
    board.show(beat(**TUNED), stored=True)
    _, page = await told(client)

    assert "Rules: 1 met, 1 not met, 2 unreadable, 1 accepted. Settings that are not as in the baseline: 1." in page
    assert '<span class="bad">vm.swappiness is &lt;60&gt;, should be at most 1</span>' in page
    assert "Why. Fix. [ascend 5.2]" in page
    assert "host.zone" not in page
    change = "cpu.governor performance → &lt;powersave&gt;"
    assert f'<span class="bad">{change}</span> <span class="dim">since 2027-01-15 07:59:00 UTC</span>' in page
    assert 'came with: short TPOT +14% <span class="dim">2027-01-15 07:59:30 UTC</span>' in page
    assert '<tr><th>accepted</th><td>vllm.version &lt;i&gt; <span class="dim">2027-01-15 07:59:30 UTC</span>' in page
    assert '<td class="dim">no cpufreq<br>host.epp, host.governor</td>' in page
    assert 2 == page.count("TTFT 50 → 75 ms")  # as an incident and as its finding, not as a setting


async def test_what_is_near_a_finding_is_in_the_status(board: Board, client: httpx.AsyncClient) -> None:
    """A regression is told with what changed near it."""
    board.show(beat(**TUNED), stored=True)
    document, _ = await told(client)

    assert [["cpu.governor performance → <powersave>"], ["short TPOT +14%"], []] == [
        [one["what"] for one in entry["near"]] for entry in document["findings"]
    ]


async def test_incidents_are_told(board: Board, client: httpx.AsyncClient) -> None:
    """An open incident is told with one sentence, its findings and its causes, each with what to do about it."""
    board.show(beat(**TUNED), stored=True)
    document = (await client.get("/api/v1/incidents")).json()

    title = "llama: canary TTFT 50 → 75 ms (+50%) against baseline 'good-day', profile short"
    change = "cpu.governor performance → <powersave>"
    incident = {
        "key": "incident:llama:1799999700",
        "title": title,
        "sentence": f"{title} since 2027-01-15 07:55:00 UTC; perhaps {change} at 2027-01-15 07:59:00 UTC",
        "severity": "warning",
        "since": AT - 300,
        "since_utc": "2027-01-15 07:55:00 UTC",
        "causes": [
            {
                "what": change,
                "cause": "cpu.governor",
                "at": AT - 60,
                "at_utc": "2027-01-15 07:59:00 UTC",
                "weight": 0.25,
                "fix": "restore it",
            }
        ],
        "users": [],
        "users_said": "",
        "findings": [{"key": "regression:llama:short:ttft", "summary": title, "since": AT - 300}],
    }
    told_of_target, _ = await told(client)
    assert {"at": AT, "at_utc": "2027-01-15 08:00:00 UTC", "incidents": [{"target": "llama", **incident}]} == document
    assert [incident] == told_of_target["incidents"]


async def test_incidents_are_on_the_page(board: Board, client: httpx.AsyncClient) -> None:
    """An incident stands at the top of its target: one sentence, one list; what other processes say stays text."""
    unseen = replace(DRIFT, finding=replace(DRIFT.finding, onset=None))
    alone = open_finding(finding())
    board.show(beat(open=(alone, unseen)), stored=True)
    board.show(beat("qwen", open=(alone,)), stored=True)
    _, page = await told(client)

    llama, qwen = page.split("<h2>")[1:3]
    assert "profile short since 2027-01-15 07:55:00 UTC; perhaps cpu.governor performance → &lt;powersave&gt;" in llama
    assert llama.index("<section>") < llama.index("model unknown")
    assert '<li>cpu.governor performance → &lt;powersave&gt; <span class="dim">since the baseline, weight 0.00' in llama
    assert '<br><span class="dim">restore it</span></li>' in llama
    assert "; no cause is known</b></p>" in qwen
    assert "<ol>" not in qwen


async def test_what_users_have_is_told(board: Board, client: httpx.AsyncClient) -> None:
    """Beside a regression it is told how users' own figures stand: in the sentence, as figures, and on the page."""
    tpot = Standing("users_tpot", 0.03, 0.02, 240.0)
    board.show(beat(open=(open_finding(finding()),), users=(tpot,)), stored=True)
    document, page = await told(client)
    (incident,) = document["incidents"]

    assert "; users' TPOT +50%, too; no cause is known" in incident["sentence"]
    assert [("users' TPOT", 0.03, 0.02)] == [(one["figure"], one["now"], one["baseline"]) for one in incident["users"]]
    assert "<p>Users in the last 4 min, beside the baseline at as many requests:</p>" in page
    assert "<tr><th>users&#39; TPOT</th><td>30 ms, baseline 20 ms (+50%)</td></tr>" in page


async def test_what_only_informs_says_what_is_near(board: Board, client: httpx.AsyncClient) -> None:
    """Of what is no incident the page says beside the finding what changed near it."""
    mild = replace(SLOW, finding=replace(SLOW.finding, severity="info"))
    board.show(beat(open=(mild,)), stored=True)
    document, page = await told(client)

    change = "cpu.governor performance → &lt;powersave&gt;"
    assert [] == document["incidents"]
    assert f'near it: {change} <span class="dim">2027-01-15 07:59:00 UTC</span>' in page


async def test_incidents_are_documented(client: httpx.AsyncClient) -> None:
    """OpenAPI says what each document tells."""
    paths = (await client.get("/openapi.json")).json()["paths"]

    assert {"/api/v1/status", "/api/v1/incidents", "/api/v1/tuning"} <= paths.keys()
    assert "findings that began together" in paths["/api/v1/incidents"]["get"]["description"]


async def test_before_the_first_look_tuning_is_unknown(board: Board, client: httpx.AsyncClient) -> None:
    """What an earlier process left open is told before anything was seen; of rules nothing is known yet."""
    board.show_open("llama", (DRIFT,), AT)
    seen, _ = await tuning_told(client)
    _, page = await told(client)

    assert ([], ["cpu.governor"]) == (seen["rules"], [one["fact"] for one in seen["drift"]])
    assert "No open findings but those of tuning." in page
