"""`monitor tuning` as people and cron jobs use it, beside a simulated server, on nodes made of files."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from box import Box
from commands import TREES, Cli, node
from examples import AT, baseline
from goldens import compare
from processes import MONITOR, environment
from rich.console import Console
from tools import checked
from trees import captured, plant

from monitor import catalog
from monitor.alert.message import utc
from monitor.cli.tuning_text import show
from monitor.model import Baseline, Condition, Context, Fact, Finding, Rule, Ruling
from monitor.node import NODE
from monitor.settings import Target
from monitor.store.store import Store
from monitor.tuning.report import Drifted, Report

ROOT = Path(__file__).parents[1]
GOLDENS = Path(__file__).parent / "goldens" / "tuning"
NAMES = sorted(path.name for path in TREES.iterdir() if path.is_dir())
SWAPPINESS, GOVERNOR, ALLOCATOR = "team.swappiness", "team.governor", "team.allocator"
RULES = """
[rule.swappiness]
fact = "vm.swappiness"
op = "at most"
want = 1
severity = "warning"
why = "swapping costs seconds"
fix = "sysctl -w vm.swappiness=0"
guide = "team 1"
run = "sysctl -w vm.swappiness=0"
keep = "sysctl"

[rule.governor]
fact = "cpu.governor"
want = "performance"
why = "clocks"
fix = "cpupower frequency-set -g performance"

[rule.balancing]
fact = "kernel.numa_balancing"
want = 0
where = { "numa.nodes" = "0-7" }
why = "faults"
fix = "sysctl -w kernel.numa_balancing=0"

[rule.allocator]
fact = "process.env.LD_PRELOAD"
op = "present"
severity = "critical"
why = "allocations"
fix = "export LD_PRELOAD=/usr/lib/libtcmalloc.so.4"

[rule.serving]
fact = "mlnode.state"
want = "INFERENCE"
why = "it must serve"
fix = "deploy"

[rule.model_length]
fact = "vllm.max_model_len"
op = "at least"
why = "as promised"
fix = "raise it"
"""


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # the commands point the log at the stderr of the moment


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Serve a simulated vLLM."""
    command = [str(MONITOR), "simulate", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:  # noqa: S603 - our own program
        assert process.stdout
        yield process.stdout.readline().rpartition(" ")[2].strip()
        process.kill()


class Tuned(Cli):
    """The command line with rules of the operator's own and no others, on a node of its own that can be changed."""

    def set(self, path: str, text: str) -> None:
        """Change a file of the node."""
        (self.folder / path).write_text(f"{text}\n")

    def settings(self, more: str = "", profiles: str = "[]") -> None:
        """Choose settings."""
        head = f'[tuning]\nrules_dir = "{self.folder}/rules"\nprofiles = {profiles}\n{more}\n'
        roots = f'[host]\nprocfs = "{self.folder}/proc"\nsysfs = "{self.folder}/sys"\n'
        (self.folder / "monitor.toml").write_text(head + roots)

    def check(self, *options: str, code: int = 0) -> Any:
        """Check, and give the document."""
        return self.json("tuning", "check", *options, code=code, env=dict.fromkeys(node(self.folder)))  # type: ignore[arg-type] # None leaves a variable out

    def outcomes(self, *options: str, code: int = 0) -> dict[str, str]:
        """Check, and say how each rule fares."""
        return {one["rule"]: one["outcome"] for one in self.check(*options, code=code)["rules"]}

    def say(self, *arguments: str, code: int = 0) -> list[str]:
        """Run a command of `tuning`, and give what it prints."""
        result = self.run("tuning", *arguments, code=code, env=dict.fromkeys(node(self.folder)))  # type: ignore[arg-type] # None leaves a variable out
        return [line.rstrip() for line in result.stdout.splitlines()]

    def note(self, *facts: Fact, at: float, scope: str = NODE) -> None:
        """Let a serving monitor have seen settings."""
        store = Store(self.store_url)
        store.history.note_facts(scope, facts, at)
        store.close()


@pytest.fixture
def cli(tmp_path: Path, server: str) -> Tuned:
    """Give a command line on the untuned node, of which the governor is not known."""
    made = Tuned(tmp_path, server)
    shutil.copytree(TREES / "untuned-6.6", tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "sys/devices/system/cpu")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "team.toml").write_text(RULES)
    made.settings()
    return made


def test_json(cli: Tuned) -> None:
    """Each rule is told with the contract's keys; one that does not apply here is not told."""
    document = cli.check(code=1)
    swappiness, governor = (one for one in document["rules"] if one["rule"] in {SWAPPINESS, GOVERNOR})

    assert {
        "target": "tiny",
        "rule": SWAPPINESS,
        "fact": "vm.swappiness",
        "expected": "at most 1",
        "actual": "60",
        "outcome": "mismatch",
        "severity": "warning",
        "path": "/proc/sys/vm/swappiness",
        "why": "swapping costs seconds",
        "fix": "sysctl -w vm.swappiness=0",
        "guide": "team 1",
        "needs": "",
        "accepted": False,
    } == swappiness
    assert ("unreadable", None, "performance") == (governor["outcome"], governor["actual"], governor["expected"])
    assert governor["needs"]
    assert {SWAPPINESS: "mismatch", GOVERNOR: "unreadable", ALLOCATOR: "unreadable"} == {
        one["rule"]: one["outcome"] for one in document["rules"]
    }
    assert ([], []) == (document["drift"], document["missing"])


def test_what_fails(cli: Tuned) -> None:
    """A rule that is not met fails whom its severity concerns; what is unreadable never does."""
    assert {"mismatch", "unreadable"} == set(cli.outcomes("--fail-on", "critical").values())
    cli.outcomes("--fail-on", "warning", code=1)
    cli.outcomes("--fail-on", "info", code=1)
    cli.set("proc/sys/vm/swappiness", "1")
    unread = dict.fromkeys((GOVERNOR, ALLOCATOR), "unreadable")
    assert {SWAPPINESS: "match", **unread} == cli.outcomes("--fail-on", "info")


def test_in_words(cli: Tuned) -> None:
    """First what is not met, with what mends it; what is met is counted, what is unreadable is one line a reason."""
    lines = cli.say("check", code=1)

    assert "Not met: 1 rule" == lines[0]
    assert ["severity", "rule", "actual", "wanted"] == lines[1].split()
    assert ["warning", SWAPPINESS, "60", "at", "most", "1"] == lines[2].split()
    assert f"{SWAPPINESS}: sysctl -w vm.swappiness=0 [team 1]" == lines[3]
    assert "Changed: tiny has no baseline to compare with; monitor baseline capture makes one" == lines[6]
    assert "Met: no rules" == lines[8]
    assert lines[9].startswith(f"Unreadable: 1 rule ({GOVERNOR}): ")
    assert lines[10].startswith(f"Unreadable: 1 rule ({ALLOCATOR}): ")
    assert 11 == len(lines)


def test_all_in_words(cli: Tuned) -> None:
    """With --all what is met is listed, and what does not apply is named."""
    cli.set("proc/sys/vm/swappiness", "0")
    lines = cli.say("check", "--all")

    assert "Not met: no rules" == lines[0]
    assert ["warning", SWAPPINESS, "0", "at", "most", "1"] == lines[lines.index("Met: 1 rule") + 2].split()
    assert "Not for here: 1 rule (team.balancing)" in lines


def test_drift(cli: Tuned) -> None:
    """A setting that is not as it was when the baseline was captured, with when it changed if somebody saw that."""
    facts = (Fact("vm.swappiness", "0"), Fact("kernel.numa_balancing", "0"), Fact("thp.enabled", "always"))
    cli.keep(baseline(endpoint=Target(url=cli.url).endpoint, captured_at=AT, facts=facts))
    cli.note(Fact("vm.swappiness", "0"), Fact("kernel.numa_balancing", "0"), at=AT)
    cli.note(Fact("vm.swappiness", "60"), Fact("kernel.numa_balancing", "2"), at=AT + 60)
    balancing, swappiness = sorted(cli.check(code=1)["drift"], key=lambda one: str(one["fact"]))
    lines = cli.say("check", code=1)

    assert {
        "target": "tiny",
        "fact": "vm.swappiness",
        "baseline": "good-day",
        "expected": "0",
        "actual": "60",
        "since": AT + 60,
        "severity": "info",
        "accepted": False,
        "came_with": [],
    } == {key: value for key, value in swappiness.items() if key != "fix"}
    assert "monitor accept vm.swappiness" in swappiness["fix"]
    assert ("1", None) == (balancing["actual"], balancing["since"])
    head = lines.index(f"Changed: 2 settings of tiny since baseline good-day, {utc(AT)}")
    rows = sorted(line.split(maxsplit=4) for line in lines[head + 2 : head + 4])
    assert [
        ["info", "kernel.numa_balancing", "0", "1", "unknown"],
        ["info", "vm.swappiness", "0", "60", utc(AT + 60)],
    ] == rows


def test_accepted(cli: Tuned) -> None:
    """What was accepted fails nobody, neither by a rule nor as drift, and is told as that; another value is found."""
    cli.keep(baseline(endpoint=Target(url=cli.url).endpoint, facts=(Fact("vm.swappiness", "0"),)))
    cli.note(Fact("vm.swappiness", "60"), at=AT)
    cli.run("accept", "vm.swappiness")
    document = cli.check("--fail-on", "info")
    rows = [line.split()[:2] for line in cli.say("check", "--fail-on", "info")]
    script = cli.say("script")
    cli.set("proc/sys/vm/swappiness", "61")
    again = cli.check("--fail-on", "info", code=1)

    assert [True, True] == [document["rules"][0]["accepted"], document["drift"][0]["accepted"]]
    assert {("accepted", SWAPPINESS), ("accepted", "vm.swappiness")} <= {tuple(row) for row in rows}
    assert [SWAPPINESS] not in [row[:1] for row in rows]
    assert "# ==== Accepted as it is:" in script
    assert not [line for line in script if line.startswith("mend ")]
    assert [False, False] == [again["rules"][0]["accepted"], again["drift"][0]["accepted"]]


def test_a_server_that_is_away(cli: Tuned) -> None:
    """Without the server the node is checked all the same, and that nobody answered is told; it is no finding."""
    cli.set("proc/sys/vm/swappiness", "0")
    document = cli.check("--target", "http://127.0.0.1:9", "--fail-on", "info")

    assert {"127.0.0.1:9"} == {one["target"] for one in document["rules"]}
    assert ["vllm of 127.0.0.1:9: http://127.0.0.1:9 does not answer: connection refused; does vLLM listen there?"] == (
        document["missing"]
    )
    assert f"Not looked at: {document['missing'][0]}" in cli.say("check", "--target", "http://127.0.0.1:9")


def test_a_server_elsewhere(cli: Tuned) -> None:
    """The node's settings are not those of a server that runs elsewhere: nothing is said of them, but why."""
    cli.settings(f'[target.far]\nurl = "{cli.url}"\nlocal = "no"')
    document = cli.check(code=1)

    why = 'the server runs elsewhere, as its address says; if it runs on this node, set local = "yes"'
    assert ({"tiny"}, [f"the node of far: {why}"]) == (
        {one["target"] for one in document["rules"]},
        document["missing"],
    )


def test_a_key_that_cannot_be_read(cli: Tuned) -> None:
    """It is told in one line, as our own fault."""
    text = cli.refused("tuning", "check", env={"MONITOR_TARGET__TINY__API_KEY_FILE": "/nowhere/key"})

    assert text.startswith("api_key_file /nowhere/key: ")


def test_two_servers(cli: Tuned) -> None:
    """What is alike with several servers of a node is one row for people, and one a server for programs."""
    second = cli.url.replace("127.0.0.1", "localhost")
    urls = ("--target", cli.url, "--target", second)
    rules = cli.check(*urls, code=1)["rules"]
    lines = cli.say("check", *urls, code=1)
    script = cli.say("script", *urls)

    names = ["tiny", second.removeprefix("http://")]
    assert [(name, SWAPPINESS) for name in names] == [(one["target"], one["rule"]) for one in rules if one["actual"]]
    assert ["warning", SWAPPINESS, *f"{names[0]}, {names[1]}".split(), "60", "at", "most", "1"] == lines[2].split()
    assert 1 == len([line for line in script if line.startswith("mend team")])


def test_textfile(cli: Tuned) -> None:
    """Beside what is printed, a file for node_exporter: rules of each server, settings of server and node."""
    path = cli.folder / "vllm_monitor.prom"
    cli.say("check", "--textfile", str(path), code=1)
    text = path.read_text()

    assert f'{catalog.RULE_MATCH}{{rule="{SWAPPINESS}",severity="warning",target="tiny"}} 0.0' in text
    assert f'{catalog.FACT_INFO}{{fact="vm.swappiness",value="60"}} 1.0' in text
    assert f'{catalog.FACT_INFO}{{fact="vllm.model",target="tiny",value="tiny"}} 1.0' in text
    assert GOVERNOR not in text
    assert (0, "", "") == checked(text, "prometheus", "promtool", "check", "metrics")


def test_a_textfile_that_cannot_be_written(cli: Tuned) -> None:
    """It is told in one line, as our own fault, before anything is printed."""
    path = cli.folder / "nowhere" / "vllm_monitor.prom"
    text = cli.refused("tuning", "check", "--textfile", str(path))

    advice = "the file that was there is as it was; write it to a folder that is there and that you may write"
    assert f"--textfile {path}: No such file or directory; {advice}" == text


def test_explain_a_rule(cli: Tuned) -> None:
    """Why, by whom, where, how it is read, what is wanted, what it is here, what mends it, how that is seen."""
    lines = cli.say("explain", SWAPPINESS)

    assert f"{SWAPPINESS}: vm.swappiness should be at most 1 (warning)" == lines[0]
    assert [
        ["why", "swapping costs seconds"],
        ["guide", "team 1"],
        ["applies", "profile team, always"],
        ["here", "tiny: 60, not as wanted"],
        ["read", "vm.swappiness: vm.swappiness (/proc/sys/vm/swappiness)"],
        ["fix", "sysctl -w vm.swappiness=0"],
        ["script", "sysctl -w vm.swappiness=0"],
        ["reboot", "the script keeps it, by sysctl.d"],
        ["verify", "monitor tuning check"],
    ] == [line.strip().split(maxsplit=1) for line in lines[1:]]


def here(cli: Tuned, name: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in cli.say("explain", name) if line.split()[0] == "here"]


def test_explain_what_it_is_here(cli: Tuned) -> None:
    """Each outcome has its words, also that a rule does not apply, that nobody looked, that it is left out."""
    rules = (cli.folder / "rules" / "team.toml").read_text()
    (cli.folder / "rules" / "chips.toml").write_text(rules.replace("[rule.", 'found = ["sophgo.devices"]\n[rule.', 1))
    away = cli.say("explain", "chips.governor")
    cli.settings('disable = ["team.balancing"]', profiles='["auto"]')

    assert ["tiny: left out: disabled, or without a wanted value"] == here(cli, "team.balancing")
    assert ["tiny: left out: disabled, or without a wanted value"] == here(cli, "team.model_length")
    assert ["tiny: nobody looked at what it asks"] == here(cli, "team.serving")
    assert ["tiny: does not apply: nothing of the profile chips is found"] == here(cli, "chips.swappiness")
    assert here(cli, GOVERNOR)[0].startswith("tiny: unreadable: ")
    assert " applies  profile chips, where there is sophgo.devices" in away
    cli.settings()
    assert ["tiny: does not apply: a condition is not met"] == here(cli, "team.balancing")
    cli.set("proc/sys/vm/swappiness", "0")
    assert ["tiny: 0, as wanted"] == here(cli, SWAPPINESS)


def test_explain_a_fact(cli: Tuned) -> None:
    """A setting's name is explained, too: how it is read, how it is judged, and all rules about it."""
    lines = cli.say("explain", "vm.swappiness")

    assert "vm.swappiness: vm.swappiness (/proc/sys/vm/swappiness)" == lines[0]
    assert {" here    tiny: 60", " judged  compared with the baseline, severity info"} <= set(lines)
    assert f"{SWAPPINESS}: vm.swappiness should be at most 1 (warning)" in lines
    assert " judged  reported: a change of it is no finding" in cli.say("explain", "vllm.kv_cache_tokens")
    assert " judged  by rules only: what it follows from is compared" in cli.say("explain", "effective.dtype")


def test_explain_what_the_guides_say_of_a_fact(cli: Tuned) -> None:
    """Of a setting without a wanted value the guides may say how grave a change is, and why."""
    (cli.folder / "rules" / "more.toml").write_text(
        '[compared."kernel.release"]\nseverity = "critical"\nwhy = "drivers"\nguide = "team 2"\n'
        '[reported."thp.defrag"]\nwhy = "for us to know"\n'
    )
    lines = cli.say("explain", "kernel.release")

    assert " judged  compared with the baseline, severity critical" in lines
    assert {" why     drivers", " guide   team 2"} <= set(lines)
    assert " judged  reported: a change of it is no finding" in cli.say("explain", "thp.defrag")


def test_explain_lists_all_rules(cli: Tuned) -> None:
    """Without a name every rule is listed, also what settings leave out; nothing is looked at for that."""
    cli.settings(f'disable = ["{GOVERNOR}"]')
    rows = [line.split() for line in cli.say("explain", "--target", "http://127.0.0.1:9")]

    assert ["rule", "fact", "wanted"] == rows[0]
    assert [SWAPPINESS, "vm.swappiness", "at", "most", "1"] in rows
    assert [GOVERNOR, "cpu.governor", "performance", "disabled"] in rows
    assert ["team.model_length", "vllm.max_model_len", "at", "least", "waits", "for", "[tuning.override]"] in rows


def test_explain_with_wrong_settings(cli: Tuned) -> None:
    """The list is there, above all, for whom the settings refused a rule's name."""
    cli.settings('disable = ["team.swapiness"]')
    refused = cli.refused("tuning", "check")
    listed = cli.say("explain")

    assert "[tuning] disable: there is no rule 'team.swapiness'; `monitor tuning explain` lists them" == refused
    assert refused == cli.refused("config", "check")
    assert any(line.split()[0] == SWAPPINESS for line in listed)


def test_explain_an_unknown_rule(cli: Tuned) -> None:
    """A name that is none is told with those that are near, and is our own fault."""
    near, far = (cli.refused("tuning", "explain", name) for name in ("team.swapines", "xyzzy"))

    assert near.startswith("there is no rule and no fact 'team.swapines'; near: team.swappiness")
    assert "there is no rule and no fact 'xyzzy'; monitor tuning explain lists them" == far


def test_override(cli: Tuned) -> None:
    """Settings want something else, or take it more gravely; commands for what the guide wants are not offered then."""
    more = f'[tuning.override]\n"{SWAPPINESS}" = {{ want = 10, severity = "critical" }}\n"team.model_length" = 99999\n'
    cli.settings(more)
    rules = {one["rule"]: one for one in cli.check("--fail-on", "critical", code=1)["rules"]}
    lines = cli.say("script")

    changed, awaited = rules[SWAPPINESS], rules["team.model_length"]
    assert ("at most 10", "critical") == (changed["expected"], changed["severity"])
    assert "sysctl -w vm.swappiness=0 (that is for at most 1; the settings want at most 10)" == changed["fix"]
    assert ("at least 99999", "mismatch", "raise it") == (awaited["expected"], awaited["outcome"], awaited["fix"])
    assert [] == [line for line in lines if "sysctl" in line and not line.startswith("#")]


def test_an_own_profile(cli: Tuned) -> None:
    """Files of one's own apply with whatever profiles, unless they name what must be found; ours stay beside them."""
    cli.settings(profiles='["auto"]')
    with_ours = cli.outcomes(code=1)
    path = cli.folder / "rules" / "team.toml"
    path.write_text(f'found = ["sophgo.devices"]\n{RULES}')
    (cli.folder / "rules" / "ascend.toml").write_text(RULES)
    without = cli.outcomes("--fail-on", "critical")

    assert {SWAPPINESS, "host.swappiness"} <= set(with_ours)
    assert not [one for one in without if one.startswith(("team.", "ascend."))]
    assert "host.swappiness" in without


def shown(report: Report, width: int) -> list[str]:
    out = Console(width=width, markup=False, highlight=False, emoji=False, record=True, file=sys.stderr)
    show(out, [report], (), everything=False)
    return out.export_text().splitlines()


def test_on_a_narrow_terminal() -> None:
    """At 80 columns no row of a table is broken by the terminal, nothing is cut, and what is copied is whole."""
    fact = "process.env.VLLM_ASCEND_KV_CACHE_MEGABYTES_FLOATING_TOLERANCE"
    fix = "unset VLLM_ASCEND_KV_CACHE_MEGABYTES_FLOATING_TOLERANCE, " * 3
    rule = Rule(f"ascend.ignored.{fact[12:]}", "ascend", Condition(fact, "absent"), (), "info", "w", fix, "g")
    actual = "server=/usr/lib/aarch64-linux-gnu/libtcmalloc.so.4:/usr/lib/libjemalloc.so.2 engine=unset worker=unset"
    finding = Finding("k", "tuning", "info", fact, "g", "s", "r", 0.0, AT, actual, "unset")
    known = Baseline("good-day", Context("m", "e"), AT, ())
    lines = shown(Report("llama", (Ruling(rule, "mismatch", actual),), (Drifted(finding, False),), known, ()), 80)

    assert f"{rule.id}: {fix.strip()} [g]" in lines
    tables = [line for line in lines if line.startswith(" ")]
    assert max(len(line.rstrip()) for line in tables) <= 80
    words = "".join("".join(line.split()) for line in tables)
    assert all(part in words for part in ("MEGABYTES", "libjemalloc.so.2", "absent", "2027-01-15"))


def test_no_escape_reaches_the_terminal() -> None:
    """What a server says of itself cannot move the cursor of whoever reads it."""
    rule = Rule("a.b", "a", Condition("vllm.model", "is", ("x",)), (), "info", "w", "f", "g")
    lines = shown(Report("llama", (Ruling(rule, "mismatch", "\x1b[2J\u202eevil"),), (), None, ()), 80)

    assert any("?[2J?evil" in line for line in lines)
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("name", NAMES)
def test_golden_of_a_node(name: str, tmp_path: Path, server: str) -> None:
    """Each captured node is told by the rules that are shipped exactly as its golden says."""
    cli = Cli(tmp_path, server)
    result = cli.run("tuning", "check", "--all", "--fail-on", "critical", env=node(TREES / name))

    text = result.stdout.replace(str(TREES), "TREES")
    compare(GOLDENS / f"{name}.txt", "".join(f"{line.rstrip()}\n" for line in text.splitlines()))


def test_golden_of_a_script(tmp_path: Path, server: str) -> None:
    """The script for an untuned node is exactly this, and shell."""
    cli = Cli(tmp_path, server)
    text = cli.run("tuning", "script", env=node(TREES / "untuned-6.6")).stdout
    made = re.sub(r"on \S+ at \S+ \S+ UTC, for tiny \(\S+\)\.", "on HOST at TIME, for tiny (URL).", text)

    assert (0, "", "") == checked(text, "dash", "sh", "-n")
    made = re.sub("vllm-monitor [0-9.]+ ", "vllm-monitor 0 ", made)
    compare(GOLDENS / "untuned-6.6.sh", made.replace(str(TREES), "TREES"))


def test_shellcheck_likes_the_script(tmp_path: Path, server: str) -> None:
    """The commands of the rules that are shipped have no trap that is known."""
    text = Cli(tmp_path, server).run("tuning", "script", env=node(TREES / "untuned-6.6")).stdout

    assert (0, "", "") == checked(text, "shellcheck", "shellcheck", "--shell=sh", "-")


def test_the_script_mends_a_node(tmp_path: Path, server: str) -> None:
    """Run on an untuned node, the script leaves nothing that its rules find; a second one has nothing to do."""
    box = Box(tmp_path / "host")
    shutil.copytree(TREES / "untuned-6.6", box.root, dirs_exist_ok=True)
    cli = Cli(tmp_path, server)
    before = cli.run("tuning", "script", env=node(box.root)).stdout
    mended = box.run(before)
    verified = box.run(before, "--verify")
    after = cli.run("tuning", "script", env=node(box.root)).stdout

    told = [line.split()[0] for line in verified.stdout.splitlines()]
    assert (0, "") == (mended.returncode, mended.stderr)
    assert (0, before.count("\nmend "), {"OK"}) == (verified.returncode, len(told), set(told))
    assert before.count("\nmend ") >= 5
    assert 0 == after.count("\nmend ")


def test_no_secret_is_told(tmp_path: Path, server: str) -> None:
    """Keys in a server's arguments and variables are in nothing that is printed or written."""
    port = int(server.rpartition(":")[2])
    tree = captured("ascend-0.7.3_container_traps").replace("0100007F:2328 ", f"0100007F:{port:04X} ")
    shutil.copytree(TREES / "untuned-6.6", tmp_path, dirs_exist_ok=True)
    plant(tree, tmp_path)
    cli, prom = Cli(tmp_path, server), tmp_path / "vllm_monitor.prom"
    env = {**node(tmp_path), "MONITOR_TARGET__TINY__API_KEY": "sixth-secret"}
    options = ("--fail-on", "critical", "--textfile", str(prom))
    printed = [
        json.dumps(cli.json("tuning", "check", *options, code=1, env=env)),
        cli.run("tuning", "check", "--all", code=1, env=env).stdout,
        cli.run("tuning", "script", env=env).stdout,
        cli.run("tuning", "explain", "process.env.VLLM_ATTENTION_BACKEND", env=env).stdout,
        prom.read_text(),
    ]

    assert "process.env.TASK_QUEUE_ENABLE" in prom.read_text()
    assert not [secret for secret in ("secret", "hunter2") for text in printed if secret in text]
