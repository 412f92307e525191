"""What a file of rules may say, and what it becomes."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from monitor import catalog
from monitor.model import Condition, Operator, Rule, Severity
from monitor.settings_kinds import Section
from monitor.tuning.rule import IncomparableError, met
from monitor.tuning.ruling import Standing

_SPECIFIER = re.compile(r"(not )?((?:[<>=!~]).*)")
_MANY = {"one of", "contains"}
SYSCTL = re.compile(r"^ *sysctl -w ([\w.-]+)=([\w.-]+) *$", re.ASCII | re.MULTILINE)
"""Lines of `run` that set what a line of sysctl.d keeps."""


def words(value: object) -> object:
    """Read what is wanted, which TOML writes as text, number, boolean or list, as the words of facts."""
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, str | int | float):
        return (str(value),)
    return tuple(one for part in value for one in _words(part)) if isinstance(value, list) else value


def _words(part: object) -> tuple[str, ...]:
    read = words(part) if not isinstance(part, list) else None
    if not isinstance(read, tuple):
        raise ValueError(f"{part!r} is no text and no number")  # noqa: TRY004 - pydantic collects ValueErrors
    return read


def _known(fact: str) -> str:
    if fact not in catalog.FACTS:
        raise ValueError(f"{fact!r} is no fact; `monitor metrics` lists them")
    return fact


def _line(text: str) -> str:
    return " ".join(text.split())


def _range(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f"{text!r} is no range of versions, like '>=0.10, <0.18'") from None
    return text


FactName = Annotated[str, AfterValidator(_known)]
Words = Annotated[tuple[str, ...], BeforeValidator(words)]
Line = Annotated[str, AfterValidator(_line)]
Specifier = Annotated[str, AfterValidator(_range)]


class Stanza(Section):
    """One rule as a file says it; without `want` it holds only once [tuning] override names what is wanted."""

    fact: FactName
    op: Operator = "is"
    want: Words = ()
    where: dict[FactName, Words] = {}
    severity: Severity = "info"
    why: Line = Field(min_length=1)
    fix: Line = Field(min_length=1)
    guide: Line = ""
    verify: Line = ""
    run: str = ""
    keep: Literal["", "sysctl", "unit"] = ""
    good: Words = ()
    bad: Words = ()

    @model_validator(mode="after")
    def _comparable(self) -> "Stanza":
        wanted = {"present": 0, "absent": 0, "in range": 2}.get(self.op, 1)
        if self.want and (len(self.want) < wanted or (self.op not in _MANY and len(self.want) > wanted)):
            raise ValueError(f"op {self.op!r} takes {wanted} in want, not {len(self.want)}")
        if self.want and self.op in {"version", "not version"}:
            _range(self.want[0])
        for word in self.want if self.op in {"at least", "at most", "in range"} else ():
            _met(Condition(self.fact, "at least", (word,)), word, "want")
        return self

    @model_validator(mode="after")
    def _keepable(self) -> "Stanza":
        if self.keep and not self.run:
            raise ValueError("keep is for what run does: there is no run")
        if self.keep == "sysctl" and not SYSCTL.search(self.run):
            raise ValueError('keep "sysctl" needs a line in run like `sysctl -w vm.swappiness=0`')
        return self

    def rule(self, name: str, profile: str) -> Rule:
        """Make the rule; raises ValueError where one of its own examples contradicts it."""
        made = Rule(
            id=name,
            profile=profile,
            ask=Condition(self.fact, self.op, self.want),
            where=tuple(condition(fact, said) for fact, said in self.where.items()),
            **self.model_dump(include={"severity", "why", "fix", "guide", "verify", "run", "keep", "good", "bad"}),
        )
        for examples, holds in ((self.good, True), (self.bad, False)) if complete(made) else ():
            for value in examples:
                if _met(made.ask, value) is not holds:
                    raise ValueError(f"the example {value!r} is {'not ' if holds else ''}met")
        return made


class Note(Section):
    """What a guide says of a fact for which it wants no value."""

    severity: Severity = "info"
    why: Line = Field(min_length=1)
    fix: Line = "restore it"
    guide: Line = ""

    def standing(self, fact: str) -> Standing:
        """Make the standing."""
        return Standing(fact, **self.model_dump())


class Unread(Section):
    """A setting that only some versions of a package read; `instead` says what does its work in the others."""

    package: FactName
    known: Specifier
    instead: Line = ""
    guide: Line = ""

    def rule(self, fact: str, profile: str) -> Rule:
        """Make the rule that it is not set where it is not read."""
        what = fact.rpartition(".")[2]
        ignored = f"ignored {_outside(self.package.removeprefix('process.package.'), self.known)}"
        return Rule(
            id=f"{profile}.ignored.{what}",
            profile=profile,
            ask=Condition(fact, "absent"),
            where=(condition(self.package, (f"not {self.known}",)), Condition(fact, "present")),
            severity="info",
            why=f"Set, but {ignored}.",
            fix=f"remove {what}, {ignored}{f': use {self.instead}' if self.instead else ''}",
            guide=self.guide,
        )


class RuleFile(Section):
    """One file: the facts that show that it is meant (`found`), its rules, and what else its guides speak of."""

    found: list[FactName] = []
    rule: dict[str, Stanza] = {}
    compared: dict[FactName, Note] = {}
    reported: dict[FactName, Note] = {}
    ignored: dict[FactName, Unread] = {}

    def rules(self, profile: str) -> Iterator[Rule]:
        """Give all rules."""
        for name, stanza in self.rule.items():
            try:
                yield stanza.rule(f"{profile}.{name}", profile)
            except ValueError as error:
                raise ValueError(f"rule.{name}: {error}") from None
        for fact, unread in self.ignored.items():
            yield unread.rule(fact, profile)


def complete(rule: Rule) -> bool:
    """Tell whether a rule says what it wants: one that does not waits for the settings to say it."""
    return bool(rule.ask.want) or rule.ask.op in {"present", "absent"}


def condition(fact: str, said: tuple[str, ...]) -> Condition:
    """Read where a rule applies: "present", "absent", a range of versions (also "not ..."), or values."""
    if len(said) == 1 and said[0] in {"present", "absent"}:
        return Condition(fact, "present" if said[0] == "present" else "absent")
    match = _SPECIFIER.fullmatch(said[0]) if len(said) == 1 else None
    if not match:
        return Condition(fact, "one of", said)
    return Condition(fact, "not version" if match[1] else "version", (_range(match[2]),))


def _outside(package: str, known: str) -> str:
    """Say which versions a range leaves out, as in "since vllm-ascend 0.18.0rc1 and before 0.10.2rc1"."""
    versions: dict[str, list[str]] = {}
    for one in sorted(SpecifierSet(known), key=lambda one: Version(one.version)):
        versions.setdefault(one.operator, []).append(one.version)
    words = {"<": "since", ">=": "before", "!=": "in", "==": "by all but"}
    said = [f"{words[sign]} {', '.join(versions[sign])}" for sign in words if sign in versions]
    first, _, rest = said[0].rpartition(" ")
    return " and ".join((f"{first} {package} {rest}", *said[1:]))


def _met(ask: Condition, value: str, what: str = "the example") -> bool:
    try:
        return met(ask, value)
    except IncomparableError as error:
        raise ValueError(f"{what} {value!r}: {error}") from None
