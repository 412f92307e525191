"""What a serving monitor found before a capture: a time of sickness is refused, an open slowness is said."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from examples import AT, ENDPOINT, baseline, closed, finding, opened

from monitor.capture import CaptureError
from monitor.cli.capture_known import refuse_sick, warnings
from monitor.model import Finding, Flip
from monitor.store.store import Store

HUNG = finding(
    "health:llama:hung", kind="health", severity="critical", subject="hung", group="health:llama", summary="llama: hung"
)
GONE = replace(HUNG, key="health:llama:unreachable", subject="unreachable", summary="llama: gone:\x1b[2J refused")
SLOW = finding(evidence={"effect": "short TTFT +50%"})
TPOT = finding("regression:llama:short:tpot", evidence={"effect": "short TPOT +80%"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'm.db'}")
    yield made
    made.close()


def found(store: Store, *flips: Flip, target: str = "llama") -> None:
    store.outbox.settle(target, flips, (), AT)


def refusal(store: Store, since: float) -> str:
    with pytest.raises(CaptureError) as refused:
        refuse_sick(store, "llama", since)
    return str(refused.value)


def test_a_time_in_which_it_was_sick(store: Store) -> None:
    """A time that has a part of a trouble is refused with what it was, from when to when, and what to do."""
    found(store, opened(HUNG), closed(HUNG))

    assert (
        "no baseline was captured: the server was not well from 2027-01-15 07:55:00 UTC to 2027-01-15 08:10:00 UTC "
        "(llama: hung); choose a time after that"
    ) == refusal(store, AT + 599)


def test_it_is_sick_still(store: Store) -> None:
    """Of several troubles the one that ends last is told, in one printable line."""
    found(store, opened(HUNG), opened(GONE), closed(HUNG))

    assert (
        "no baseline was captured: the server was not well since 2027-01-15 07:55:00 UTC, and is not yet "
        "(llama: gone:?[2J refused); wait until it is, and choose a time after that"
    ) == refusal(store, AT + 599)


@pytest.mark.parametrize(
    "allowed",
    [
        replace(HUNG, severity="info"),
        replace(HUNG, subject="metrics"),
        replace(HUNG, subject="contract"),
        replace(HUNG, kind="tuning"),
        SLOW,
    ],
    ids=["only informs", "no metrics", "other names", "a setting", "slow"],
)
def test_what_is_no_sickness(store: Store, allowed: Finding) -> None:
    """What only informs, says what the server does not show, or is no trouble of health refuses nothing."""
    found(store, opened(allowed))

    refuse_sick(store, "llama", AT)

    assert [allowed] == [one.finding for one in store.outbox.open_findings("llama")]


def test_a_time_after_it(store: Store) -> None:
    """A time that begins when the trouble is over is taken; another target's trouble is none of it."""
    found(store, opened(HUNG), closed(HUNG))
    found(store, opened(HUNG), target="qwen")

    refuse_sick(store, "llama", AT + 600)

    assert () == store.outbox.spells("llama", AT + 600)


def test_an_open_slowness_is_said(store: Store) -> None:
    """Of a regression that is open it is said which, since when, against what, and what the capture makes of it."""
    store.baselines.save(baseline())
    found(store, opened(SLOW), opened(TPOT))

    (said,) = warnings(store, "llama", ENDPOINT)
    assert (
        "llama: short TPOT +80%, short TTFT +50% is open since 2027-01-15 07:55:00 UTC against 'good-day': "
        "this baseline makes that the new normal"
    ) == said


def test_an_open_slowness_without_its_baseline(store: Store) -> None:
    """Where the baseline was dropped meanwhile, none is named."""
    found(store, opened(TPOT))

    assert [
        "llama: short TPOT +80% is open since 2027-01-15 07:55:00 UTC: this baseline makes that the new normal"
    ] == warnings(store, "llama", ENDPOINT)


def test_nothing_to_say(store: Store) -> None:
    """Of what only informs, is no regression, is over, or is another target's nothing is said."""
    found(store, opened(replace(SLOW, severity="info")), opened(HUNG), opened(TPOT), closed(TPOT))
    found(store, opened(SLOW), target="qwen")

    assert [] == warnings(store, "llama", ENDPOINT)
