"""One script for a person to read and then to run as root on the host; nothing that was read becomes a command.

Commands come from rules alone. What was read of files and of other processes stands in comments, one line each.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from monitor.alert.message import utc
from monitor.model import Condition, Rule, Ruling
from monitor.rules.schema import SYSCTL
from monitor.script import restart, shell
from monitor.tuning.report import Shared, unreadable

_FILES = re.compile(r"(?:/proc/sys/|/sys/kernel/|/sys/devices/system/cpu/cpu\*/cpufreq/)[\w./*-]+", re.ASCII)
"""Paths whose files hold nothing but a fact's value: what stands in others takes more than a shell to read."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """When a script is made, on which host, for which servers, and what nobody could look at."""

    at: float
    host: str
    servers: tuple[str, ...]
    missing: tuple[str, ...] = ()


def write(rows: Sequence[Shared], occasion: Occasion) -> str:
    """Write the script."""
    wrong = [row for row in rows if row.ruling.outcome == "mismatch"]
    # Once a rule, though servers may differ in what they see of it.
    now = list({row.ruling.rule.id: row.ruling for row in wrong if row.ruling.rule.run and not row.accepted}.values())
    later = [row for row in wrong if not row.ruling.rule.run and not row.accepted]
    parts = (
        _head(occasion, now),
        *_mended(now),
        *_kept([one.rule for one in now]),
        *_by_hand("After a restart: put these where the server is started (unit, compose, pod)", later, at_start=True),
        *_by_hand("To be done by hand", later, at_start=False),
        *_listed("Accepted as it is", (_is(row.ruling, row.targets) for row in wrong if row.accepted)),
        *_listed("Unreadable, so nobody knows whether it is as it should be", _unread(rows)),
        *_listed("Not looked at", occasion.missing),
        *_verified(now),
    )
    return "\n".join(parts)


def _head(occasion: Occasion, now: Sequence[Ruling]) -> str:
    made = f"Made by vllm-monitor {version('vllm-monitor')} on {occasion.host} at {utc(occasion.at)}"
    says = (
        "Settings of this host that the tuning rules want otherwise, and the commands that mend them.",
        f"{made}, for {', '.join(occasion.servers)}.",
        "Nothing of it was run yet. Read it, then run it as root on the host itself, not in a container:",
    )
    head = "".join(map(shell.comment, says)) + shell.USAGE
    nothing = "" if now else shell.comment("No setting of this host is to be mended by a command.") + "\n"
    return f"#!/bin/sh\n{head}\n{nothing}{shell.START}"


def _mended(now: Iterable[Ruling]) -> Iterator[str]:
    blocks = [_about(one) + shell.fed(f"mend {shlex.quote(one.rule.id)}", one.rule.run) for one in now]
    if blocks:
        yield shell.MEND
        yield from blocks


def _kept(rules: Iterable[Rule]) -> Iterator[str]:
    """Make it last: lines of sysctl.d, and parts of a unit; those of earlier scripts stay."""
    rules = tuple(rules)
    lines = [f"keep_sysctl {shlex.quote(name)} {shlex.quote(value)}\n" for name, value in _sysctls(rules)]
    if lines:
        yield (
            shell.comment(f"After a reboot: {shell.SYSCTL_FILE}; files that sort after it win")
            + shell.KEEP_SYSCTL
            + "".join(lines)
        )
    units = [
        shell.fed(f"keep_unit {shlex.quote(_file(rule.id))}", f"[Service]\n{shell.exec_start(rule.run)}")
        for rule in rules
        if rule.keep == "unit"
    ]
    if units:
        yield shell.comment(f"After a reboot: {shell.UNIT}") + shell.KEEP_UNIT + "".join(units) + shell.ENABLE_UNIT


def _sysctls(rules: Iterable[Rule]) -> Iterator[tuple[str, str]]:
    for rule in rules:
        if rule.keep == "sysctl":
            yield from SYSCTL.findall(rule.run)


def _file(rule: str) -> str:
    return re.sub(r"[^\w.-]", "-", rule, flags=re.ASCII)


def _by_hand(title: str, rows: Iterable[Shared], *, at_start: bool) -> Iterator[str]:
    mine = [row for row in rows if restart.needs_restart(row.ruling.rule.ask.fact) is at_start]
    if not mine:
        return
    yield shell.comment(f"==== {title}:")
    for row in mine:
        fix, given = row.ruling.rule.fix, restart.line(row.ruling.rule.ask)
        exact = shell.remark(given) if given not in fix else ""
        yield _about(row.ruling, row.targets) + shell.remark(f"fix: {fix}") + exact


def _listed(title: str, lines: Iterable[str]) -> Iterator[str]:
    said = "".join(map(shell.remark, lines))
    if said:
        yield shell.comment(f"==== {title}:") + said


def _unread(rows: Iterable[Shared]) -> Iterator[str]:
    return (f"{', '.join(rules)}: {why}" for why, rules in unreadable(rows).items())


def _verified(now: Sequence[Ruling]) -> Iterator[str]:
    if now:
        yield shell.VERIFY + "\n" + "".join(map(_check, now)) + shell.END


def _check(one: Ruling) -> str:
    rule = one.rule
    if rule.ask.op in shell.OPERATORS and _FILES.fullmatch(one.path):
        return f"check {shlex.join((rule.id, one.path, rule.ask.op, *rule.ask.want))}\n"
    by_hand = f"BY HAND {rule.id}: {rule.verify or rule.ask.fact}"
    return f"printf '%s\\n' {shlex.quote(shell.plain(by_hand))}\n"


def _about(one: Ruling, targets: Sequence[str] = ()) -> str:
    rule = one.rule
    guide = shell.comment(f"guide: {rule.guide}") if rule.guide else ""
    return shell.comment(f"-- {_is(one, targets)}") + shell.comment(f"why: {rule.why}") + guide


def _is(one: Ruling, targets: Sequence[str]) -> str:
    ask: Condition = one.rule.ask
    whose = f" of {', '.join(targets)}" if targets else ""
    return f"{one.rule.id}{whose}: {ask.fact} is {one.actual}, should be {ask} ({one.rule.severity})"
