"""What the canary may cost: a cap, a share of what users have, and little while they wait."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.canary.economy import Economy

SHORT = 80
CAP = 1000
NOW = 1_800_000_000.0
HOUR = 3600.0


def economy(most: float = CAP, idle_after: float = 0.0) -> Economy:
    return Economy(most, idle_after)


def paid(books: Economy, cost: int, at: float, took: float | None = None) -> str:
    """Probe if that is allowed; give what spoke against it."""
    refused = books.refuses(cost, at)
    if not refused:
        books.spent(cost, took, at)
    return refused


def sent(books: Economy, cost: int, times: range) -> list[float]:
    """Give the seconds at which probes went out, of those at which one was due."""
    return [at for at in times if not paid(books, cost, NOW + at)]


def test_cap() -> None:
    """A minute's allowance can be spent at once, and not a token more."""
    books = economy()

    assert ["", "", "token cap", ""] == [paid(books, cost, NOW) for cost in (600, 400 - SHORT, SHORT + 1, SHORT)]


@pytest.mark.parametrize(("waited", "refused"), [(0.0, "token cap"), (29.9, "token cap"), (30.0, ""), (90.0, "")])
def test_debt_melts(waited: float, refused: str) -> None:
    """Half a minute makes room for half of the allowance."""
    books = economy()
    books.spent(CAP, None, NOW)

    assert refused == books.refuses(CAP // 2, NOW + waited)


def test_what_costs_more_than_the_cap_waits() -> None:
    """A profile larger than the cap is not shut out: its turn comes whenever nothing is owed, so at the cap's pace."""
    assert [0, 150, 300, 450, 600] == sent(economy(960), 2400, range(0, 601, 10))


def test_what_costs_more_than_the_cap_holds_back_the_others() -> None:
    """After a costly probe a small one waits until there is room beside what is owed."""
    books = economy()
    books.spent(2500, None, NOW)

    assert [100, 110] == sent(books, SHORT, range(0, 111, 10))[:2]


def test_a_probe_that_nobody_answered_costs_nothing() -> None:
    """Nothing spent is nothing owed."""
    books = economy()
    books.spent(0, None, NOW)

    assert "" == books.refuses(10 * CAP, NOW)


def test_share_of_what_users_have() -> None:
    """Half a per cent of the users' tokens is ours: of 100 a second, 30 a minute, so 80 in 160 seconds."""
    books = economy()
    books.saw_users(100.0, NOW)
    books.spent(SHORT, None, NOW)

    assert ["share of throughput", ""] == [books.refuses(SHORT, NOW + waited) for waited in (159.0, 160.0)]


def test_share_is_of_the_best_of_the_hour() -> None:
    """Little traffic is no small server: the best interval of the last hour counts, and no older one."""
    books = economy()
    books.saw_users(1000.0, NOW)
    books.saw_users(1.0, NOW + 1)
    books.spent(200, None, NOW + 1)

    assert "" == books.refuses(SHORT + 20, NOW + 1)
    books.saw_users(1.0, NOW + HOUR + 1)
    books.spent(200, None, NOW + HOUR + 1)
    assert "share of throughput" == books.refuses(SHORT, NOW + HOUR + 1)


def test_share_is_of_what_one_stream_reaches() -> None:
    """A server that answers us at 1000 tokens a second can do as much for its users, however few they want."""
    books = economy()
    books.saw_users(1.0, NOW)
    books.spent(SHORT, 0.08, NOW)
    slow = economy()
    slow.saw_users(1.0, NOW)
    slow.spent(SHORT, 8.0, NOW)

    assert ["", "share of throughput"] == [one.refuses(SHORT, NOW + 16) for one in (books, slow)]


@pytest.mark.parametrize(("waited", "refused"), [(HOUR - 1, "share of throughput"), (HOUR, "")])
def test_no_share_without_users(waited: float, refused: str) -> None:
    """Nobody is harmed while there are no users: an hour after the last ones only the cap holds.

    That needs no further look at the server, which may have stopped telling.
    """
    books = economy()
    books.saw_users(10.0, NOW)
    books.spent(SHORT, None, NOW + waited - 10)

    assert refused == books.refuses(SHORT, NOW + waited)


def test_an_interval_without_users_is_none() -> None:
    """A rate of zero says that there are no users, and limits nothing."""
    books = economy()
    books.saw_users(0.0, NOW)
    books.spent(SHORT, None, NOW)

    assert "" == books.refuses(SHORT, NOW)


def test_never_silent_under_the_share() -> None:
    """However small the share, a probe goes out every five minutes."""
    books = economy()
    books.saw_users(0.1, NOW)

    assert [0, 300, 600, 900] == sent(books, SHORT, range(0, 1000, 10))


def test_never_silent_under_the_queue() -> None:
    """While requests wait a probe goes out every five minutes, and as usual once none waits."""
    books = economy()
    books.queue = True
    assert [0, 300, 600] == sent(books, SHORT, range(0, 660, 10))
    assert "requests wait" == books.refuses(SHORT, NOW + 660)

    books.queue = False
    assert "" == books.refuses(SHORT, NOW + 660)


def test_queue_lifts_no_cap() -> None:
    """The probe of every five minutes keeps to the cap all the same."""
    books = economy(most=SHORT)
    books.queue = True
    books.spent(10 * SHORT, None, NOW)

    assert ["token cap", ""] == [books.refuses(SHORT, NOW + waited) for waited in (300.0, 600.0)]


@pytest.mark.parametrize(
    ("waited", "refused"), [(0.0, "users prove liveness"), (299.0, "users prove liveness"), (300.0, "")]
)
def test_idle_mode(waited: float, refused: str) -> None:
    """With `idle_after` the canary rests while users show that the server lives, and for so long after them."""
    books = economy(idle_after=300.0)
    assert "" == books.refuses(SHORT, NOW)
    books.saw_users(1.0, NOW)
    books.saw_users(0.0, NOW + 15)

    assert refused == books.refuses(SHORT, NOW + waited)


def test_without_idle_mode_users_do_not_matter() -> None:
    """With `idle_after` 0 the canary probes whether users have traffic or not."""
    books = economy()
    books.saw_users(1.0, NOW)

    assert "" == books.refuses(SHORT, NOW)


def test_a_clock_set_back_silences_nothing() -> None:
    """When the clock goes back by a day, neither queue, share nor idle mode holds the next probe."""
    books = economy(idle_after=300.0)
    books.queue = True
    books.saw_users(0.1, NOW)
    books.spent(SHORT, None, NOW)
    back = NOW - 24 * HOUR

    assert ["", "requests wait", ""] == [paid(books, SHORT, back + waited) for waited in (0, 60, 300)]


def test_a_clock_set_back_forgives_nothing() -> None:
    """What is owed stays owed when the clock goes back, and melts from then on."""
    books = economy()
    books.spent(CAP, None, NOW)
    back = NOW - 24 * HOUR

    assert ["token cap", "token cap", ""] == [books.refuses(CAP, back + waited) for waited in (0.0, 59.0, 60.0)]


def test_users_from_before_the_clock_went_back_are_forgotten() -> None:
    """Rates whose time has not come yet limit nothing."""
    books = economy()
    books.saw_users(0.1, NOW)
    books.spent(SHORT, None, NOW - 2 * HOUR)

    assert "" == books.refuses(SHORT, NOW - 2 * HOUR)


TURNS = st.lists(
    st.tuples(
        st.floats(0.0, 400.0),  # seconds since the turn before
        st.integers(1, 4000),  # what a probe may cost at most
        st.floats(0.0, 1.0),  # how much of that it cost
        st.none() | st.floats(0.0, 1e5),  # the users' tokens a second
        st.booleans(),  # whether requests wait
    ),
    max_size=60,
)


def spent(turns: list[tuple[float, int, float, float | None, bool]], cap: int) -> list[tuple[float, int]]:
    """Give when how many tokens were spent in a schedule."""
    books, at, done = economy(cap), NOW, list[tuple[float, int]]()
    for waited, cost, part, rate, queue in turns:
        at += waited
        books.queue = queue
        if rate is not None:
            books.saw_users(rate, at)
        if not books.refuses(cost, at):
            tokens = int(cost * part)
            books.spent(tokens, 0.1, at)
            done.append((at, tokens))
    return done


@given(TURNS, st.integers(80, 5000), st.sampled_from([60.0, 600.0, HOUR]))
def test_no_schedule_exceeds_the_cap(
    turns: list[tuple[float, int, float, float | None, bool]], cap: int, span: float
) -> None:
    """In any span of time at most the cap is spent, and one minute's allowance or one probe more."""
    done = spent(turns, cap)
    for index, (start, _) in enumerate(done):
        within = [tokens for at, tokens in done[index:] if at <= start + span]
        assert sum(within) <= cap * span / 60 + max(cap, *within) + 1e-3


@given(TURNS)
def test_every_probe_comes_to_its_turn(turns: list[tuple[float, int, float, float | None, bool]]) -> None:
    """Whatever was before, a probe of any cost is allowed once all that was spent has had time to melt."""
    done = spent(turns, CAP)
    books = economy()
    for at, tokens in done:
        books.spent(tokens, None, at)
        books.saw_users(0.1, at)
    last = done[-1][0] if done else NOW
    owed = sum(tokens for _, tokens in done)

    assert "" == books.refuses(100 * CAP, last + max(300.0, 60 * owed / CAP + 1))


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0.01, 1000), st.booleans()), min_size=30, max_size=60))
def test_five_minutes_are_the_longest_silence(turns: list[tuple[float, float, bool]]) -> None:
    """Whatever users do, a small probe that is due each minute goes out within six."""
    books, at = economy(), NOW
    gone = [NOW]
    for waited, rate, queue in turns:
        at += waited
        books.saw_users(rate, at)
        books.queue = queue
        if not paid(books, SHORT, at):
            gone.append(at)

    assert all(later - earlier <= 360.0 for earlier, later in pairwise([*gone, at]))
