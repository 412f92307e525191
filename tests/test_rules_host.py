"""What our host rules say of each captured node: the goldens are read as a person who runs such nodes would."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from goldens import compare

from monitor.collect.host.look import Roots, look
from monitor.model import Rule, Ruling
from monitor.rules.load import load
from monitor.settings import Tuning
from monitor.tuning.ruling import rulings

TREES = Path(__file__).parent / "captures" / "host"
NAMES = sorted(path.name for path in TREES.iterdir() if path.is_dir())
BOOK = load(Tuning())
SYSCTL = """\
top=$1
sysctl() { # -w NAME=VALUE, into the tree
    echo "${2#*=}" >"$top/proc/sys/$(echo "${2%%=*}" | tr . /)"
}
"""
HOST = [rule for rule in BOOK.rules if rule.profile == "host"]


def ruled(tree: Path) -> dict[str, Ruling]:
    _, facts = look(Roots(tree / "proc", tree / "sys", tree / "dev"), 0.0)
    return {one.rule.id: one for one in rulings(BOOK, facts) if one.rule.profile == "host"}


def line(one: Ruling) -> str:
    asked = one.rule.ask.fact
    said = {
        "unreadable": f"{asked}: {one.why}",
        "elsewhere": f"{asked} is not asked here",
        "match": f"{asked} is {one.actual}",
        "mismatch": f"{asked} is {one.actual}, should be {one.rule.ask}",
    }
    return f"{one.outcome:<10}  {one.rule.severity:<8}  {one.rule.id:<22}  {said[one.outcome]}"


@pytest.mark.parametrize("name", NAMES)
def test_rulings(name: str) -> None:
    """Each tree is ruled exactly as its golden says."""
    compare(TREES / f"{name}.rulings.txt", "".join(f"{line(one)}\n" for one in ruled(TREES / name).values()))


@pytest.mark.parametrize("rule", HOST, ids=lambda rule: rule.id)
def test_rules_speak_as_the_node_does(rule: Rule) -> None:
    """Each rule matches one of the trees and is broken by another: it and the collector use the same words."""
    outcomes = {ruled(TREES / name)[rule.id].outcome for name in NAMES}
    assert {"match", "mismatch"} <= outcomes


@pytest.mark.parametrize("rule", [rule for rule in HOST if rule.run], ids=lambda rule: rule.id)
def test_commands_mend(rule: Rule, tmp_path: Path) -> None:
    """What a rule's script would run makes it match, may be run again, and is told how to outlive a reboot."""
    name = next(name for name in NAMES if ruled(TREES / name)[rule.id].outcome == "mismatch")
    tree = Path(shutil.copytree(TREES / name, tmp_path / name))
    commands = re.sub(r"(?<![\w.])/(proc|sys)/", f"{tree}/\\1/", rule.run)
    for _ in range(2):
        subprocess.run(["/bin/sh", "-euc", f"{SYSCTL}{commands}", "sh", tree], check=True, cwd=tree)  # noqa: S603 - ours, in a copy
        choose(tree)
    assert ("match", True) == (ruled(tree)[rule.id].outcome, bool(rule.keep))


def choose(tree: Path) -> None:
    """Show choices as the kernel does: in brackets."""
    for file in tree.glob("sys/kernel/mm/transparent_hugepage/*"):
        words = file.read_text().strip()
        file.write_text(words if "[" in words else f"[{words}]")
