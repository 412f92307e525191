"""The nouns that the parts of the monitor pass to each other: frozen values, no behaviour but what follows from them.

Units: seconds, bytes, ratios 0..1, tokens; times are Unix seconds; `None` is "not known", never zero.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Labels = tuple[tuple[str, str], ...]
Outcome = Literal["ok", "timeout", "unreachable", "rejected", "broken"]
Severity = Literal["info", "warning", "critical"]
Kind = Literal["regression", "tuning", "health"]
State = Literal["alive", "starting", "asleep", "saturated", "hung", "dead", "waiting"]

Operator = Literal[
    "is",
    "is not",
    "at least",
    "at most",
    "in range",
    "one of",
    "contains",
    "present",
    "absent",
    "version",
    "not version",
]
"""`contains` is met by any of its words; `version` and `not version` take a specifier such as ">=0.10.2rc1, <0.18"."""

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
STATES: tuple[State, ...] = get_args(State)


def labels(**pairs: str) -> Labels:
    """Give label pairs in their one canonical order."""
    return tuple(sorted(pairs.items()))


@dataclass(frozen=True, slots=True)
class Reading:
    """One number, measured once; `metric` is a sample name of the catalogue, which also says the unit."""

    metric: str
    value: float
    at: float
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """One setting as found. `value` None means unreadable, and then `why` says what stands in the way."""

    name: str
    value: str | None
    path: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one collector saw and how the look went; a failed look (`error` not empty) carries no data.

    `refused` says that it failed because nothing listens there, which is surer than silence.
    """

    source: str
    at: float
    took: float
    readings: tuple[Reading, ...] = ()
    facts: tuple[Fact, ...] = ()
    error: str = ""
    refused: bool = False

    @property
    def ok(self) -> bool:
        """Whether the look succeeded."""
        return not self.error


@dataclass(frozen=True, slots=True)
class Load:
    """What a server is busy with: requests running and waiting, KV cache in use (ratio, None where not told).

    `steps` and `tokens` are cumulative: the engine's steps, and the tokens it read and wrote. What they gained between
    two looks is what happened meanwhile, which two gauges cannot say.
    """

    running: float
    waiting: float
    kv_usage: float | None = None
    steps: float | None = None
    tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """What users had in one interval free of our canaries: requests begun a second, their mean TTFT, how many wait.

    `figures` are the others that are known, by the names in `derive.FIGURES`.
    """

    at: float
    rate: float
    ttft: float
    waiting: float
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one of users' figures stands: typical of the last `seconds`, and of the baseline at as many requests."""

    metric: str
    now: float
    then: float
    seconds: float

    @property
    def change(self) -> float | None:
        """What is added to what was (0.2 is a fifth more); None where that was nothing."""
        return self.now / self.then - 1 if self.then else None


@dataclass(frozen=True, slots=True)
class Probe:
    """One canary: one request, or the few of which a profile's figure is made.

    Latencies are None unless really measured; docs/definitions.md says from when to when they count. `lag` is the worst
    loop delay meanwhile. `cold_ttft` is the TTFT of the same prompt just before, when it was in no cache. Of the answer
    only digests are kept: of the whole, of each word, and what is wrong with it (`fault`). It can be compared with
    another one's only if prompt and sampling were `fixed`. `estimated` says that nobody told how many tokens came.
    """

    at: float
    profile: str
    version: str
    outcome: Outcome
    connect: float | None = None
    ttft: float | None = None
    tpot: float | None = None
    e2e: float | None = None
    itls: tuple[float, ...] = ()
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    before: Load | None = None
    after: Load | None = None
    lag: float = 0.0
    warmup: bool = False
    answer: str = ""
    detail: str = ""
    model: str = ""
    cold_ttft: float | None = None
    estimated: bool = False
    finish: str = ""
    words: tuple[int, ...] = ()
    fault: str = ""
    fixed: bool = False
    started: float | None = None

    @property
    def itl_max(self) -> float | None:
        """The longest gap between two chunks that carried tokens, in seconds."""
        return max(self.itls, default=None)

    @property
    def warm_ratio(self) -> float | None:
        """TTFT of a prompt just seen over TTFT of the same prompt cold: near 1 where nothing is cached."""
        return self.ttft / self.cold_ttft if self.ttft is not None and self.cold_ttft else None


@dataclass(frozen=True, slots=True)
class Context:
    """What must be equal for a comparison to mean anything. Versions and arguments are facts: causes, not contexts."""

    model: str
    endpoint: str

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that stand for this context."""
        return hashlib.sha256(f"{self.model}\n{self.endpoint}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one metric in one stratum (like with like), in time order, with their times.

    `places` say where in load each was taken: requests running, share of the KV cache in use; empty where not known.
    """

    metric: str
    stratum: str
    times: tuple[float, ...]
    values: tuple[float, ...]
    places: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a profile, in one version, is known to be answered: digests of the whole and of each word, and its fault.

    The digest is empty where answers cannot be compared because the words asked differ each time.
    """

    profile: str
    version: str
    digest: str
    words: tuple[int, ...]
    fault: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """How a server behaved when all was well: the sample itself, not a summary, so that tests can be changed later.

    A provisional one nobody captured: it is what the first day showed, well or not, so that it only ever informs.
    """

    name: str
    context: Context
    captured_at: float
    series: tuple[Series, ...]
    facts: tuple[Fact, ...] = ()
    provisional: bool = False
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened (`until` equals `at`) or holds for a while: a note, a mute, a restart, a capture."""

    kind: Literal["annotation", "mute", "restart", "capture"]
    at: float
    until: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a fact is asked: one operator and the words that it compares with."""

    fact: str
    op: Operator
    want: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in words that follow "should be", as in "at least 1073741824"."""
        words = {"is": "", "is not": "not", "contains": "one with"}.get(self.op, self.op)
        return f"{words} {(' to ' if self.op == 'in range' else ' or ').join(self.want)}".strip()


@dataclass(frozen=True, slots=True)
class Rule:
    """What one fact should be, in words that are shown; it applies where all conditions of `where` are met.

    `guide` names its source, `verify` how somebody sees the fact by hand; `run` is what a shell would do about it and
    `keep` what makes that survive a reboot: a line of sysctl.d, or of a unit that runs at start.
    """

    id: str
    profile: str
    ask: Condition
    where: tuple[Condition, ...]
    severity: Severity
    why: str
    fix: str
    guide: str
    verify: str = ""
    run: str = ""
    keep: Literal["", "sysctl", "unit"] = ""
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruling:
    """How one rule fares; `actual` is empty and `why` says what is needed where that cannot be told.

    "elsewhere" is a rule whose conditions are known not to be met: it says nothing here.
    """

    rule: Rule
    outcome: Literal["match", "mismatch", "unreadable", "elsewhere"]
    actual: str = ""
    path: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A value of a fact that somebody called deliberate, and when; `scope` is a target's name, or "" for the node."""

    scope: str
    fact: str
    value: str
    at: float


@dataclass(frozen=True, slots=True)
class Near:
    """What happened at nearly the same time as something else, in words; `of` names the fact or the kind of event."""

    what: str
    at: float
    of: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong, as long as it is found: the same `key` on each beat on which it holds.

    `group` names what a person is told once (TTFT and TPOT of one slow server are one message). It opens after
    `hold` seconds, counted from `onset` where the judge knows one, else from when it was first seen. `near` is what
    changed near the onset, and of a setting what got slower near its change, the nearest first.
    """

    key: str
    kind: Kind
    severity: Severity
    subject: str
    group: str
    summary: str
    remedy: str
    hold: float
    onset: float | None = None
    observed: str = ""
    expected: str = ""
    evidence: Mapping[str, float | str] = field(default_factory=dict)
    near: tuple[Near, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenFinding:
    """A finding that the ledger holds open: since when it held (`since`), and when it was opened."""

    finding: Finding
    since: float
    opened_at: float


@dataclass(frozen=True, slots=True)
class Cause:
    """What may have brought an incident.

    `of` names a fact, an event, a trouble of the server, or one of users' figures. `at` is None where nobody saw
    it happen. `weight`, 0 to 1, says how close in time it is; `fix` is empty where nothing is known to be done.
    """

    what: str
    of: str
    at: float | None
    weight: float
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """Findings that began together, the first one first, and what may have brought them, the likeliest first.

    `users` is what users' own figures say beside a regression: support, from which no finding follows.
    """

    key: str
    target: str
    title: str
    onset: float
    severity: Severity
    findings: tuple[OpenFinding, ...]
    causes: tuple[Cause, ...]
    users: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True)
class Flip:
    """A finding opened or closed: the only thing a sink ever sees. `tell` is False inside an incident already told."""

    finding: Finding
    opened: bool
    since: float
    at: float
    tell: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """What could be said of one metric of one profile now. `unjudged` is the reason if nothing could.

    `expected` is what the baseline shows at the load of the last probe, in the metric's unit.
    """

    metric: str
    profile: str
    ratio: float | None
    unjudged: str
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """Everything that was seen, found and decided at one moment; export and web show the latest."""

    target: str
    at: float
    took: float
    snapshots: tuple[Snapshot, ...]
    readings: tuple[Reading, ...]
    probes: tuple[Probe, ...]
    judgements: tuple[Judgement, ...]
    open: tuple[OpenFinding, ...]
    baseline: Baseline | None
    state: State = "waiting"
    events: tuple[Event, ...] = ()
    muted_until: float | None = None
    restarted: bool = False
    rulings: tuple[Ruling, ...] = ()
    accepted: tuple[Acceptance, ...] = ()
    users: tuple[Standing, ...] = ()
