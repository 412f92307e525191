"""What a canary may cost: the operator's cap, a small share of what the server does, and less while requests wait."""

from collections import deque

MINUTE = 60.0
HOUR = 3600.0
SHARE = 0.005
"""Of the throughput that was measured, at most this share is ours."""
SPARING = 300.0
"""Seconds between probes while the server has enough to do: one now and then, for silence would be blindness."""


class _Debt:
    """What was spent, melting at an allowed rate.

    A cost is refused unless a minute's allowance has room for it beside the debt, or there is no debt: so what costs
    more than a minute's allowance waits for its turn and is not shut out.
    """

    def __init__(self) -> None:
        self._tokens = 0.0
        self._at = 0.0

    def spend(self, tokens: float, allowed: float, at: float) -> None:
        self._melt(allowed, at)
        self._tokens += tokens

    def refuses(self, cost: float, allowed: float, at: float) -> bool:
        """Tell whether a cost is too much where `allowed` tokens a minute are."""
        self._melt(allowed, at)
        return self._tokens > 0 and self._tokens + cost > allowed

    def _melt(self, allowed: float, at: float) -> None:
        """Let go what melted since the last time; a clock set back melts nothing."""
        self._tokens = max(0.0, self._tokens - max(0.0, at - self._at) * allowed / MINUTE)
        self._at = at


class Economy:
    """Keeps the books of one server's canary; tokens, seconds, and time as an argument."""

    def __init__(self, most_per_minute: float, idle_after: float) -> None:
        self._most = most_per_minute
        self._idle_after = idle_after
        self._under_cap = _Debt()
        self._under_share = _Debt()
        self._probed_at = 0.0
        self._speed = 0.0
        self._rates: deque[tuple[float, float]] = deque()
        self._users_at: float | None = None
        self.queue = False

    def saw_users(self, rate: float, at: float) -> None:
        """Take up how many tokens a second users had in the interval that just ended."""
        while self._rates and (self._rates[0][0] < at - HOUR or self._rates[0][0] > at):
            self._rates.popleft()
        if rate > 0:
            self._rates.append((at, rate))
            self._users_at = at

    def spent(self, tokens: int, took: float | None, at: float) -> None:
        """Take up what a probe cost; `took` is its E2E latency, None where it failed."""
        self._under_cap.spend(tokens, self._most, at)
        self._under_share.spend(tokens, self._allowed(at), at)
        self._probed_at = at
        if took:
            self._speed = tokens / took

    def refuses(self, cost: int, at: float) -> str:
        """Name what speaks against a probe of this cost now; empty if nothing does."""
        quiet = not 0 <= at - self._probed_at < SPARING  # a clock set back must not silence the canary
        if self._users_at is not None and 0 <= at - self._users_at < self._idle_after:
            return "users prove liveness"
        if self.queue and not quiet:
            return "requests wait"
        over_cap = self._under_cap.refuses(cost, self._most, at)
        over_share = self._under_share.refuses(cost, self._allowed(at), at)
        if over_cap:
            return "token cap"
        return "share of throughput" if over_share and not quiet else ""

    def _allowed(self, at: float) -> float:
        """Give the tokens a minute that are allowed; nobody is harmed while there are no users.

        Throughput is the best of the last hour, or what one stream alone reaches: little traffic is no small server.
        """
        best = max((rate for seen, rate in self._rates if 0 <= at - seen < HOUR), default=0.0)
        return min(self._most, SHARE * MINUTE * max(best, self._speed)) if best else self._most
