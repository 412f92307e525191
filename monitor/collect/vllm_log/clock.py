"""When a line was written: vLLM's stamps have neither year nor time zone, and its clock may not be ours."""

import math
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

STEP = 900.0
"""Seconds in which time zones differ."""
FARTHEST = 14 * 3600.0
"""Seconds that a time zone is away from UTC at most."""
SLACK = 60.0
"""Seconds by which a stamp may be later than the file's time: clocks of servers of files differ."""

_STAMP = re.compile(r"(?<!\d)(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?!\d)")


@dataclass(frozen=True, slots=True)
class Stamp:
    """A date without a year and a time without a zone."""

    month: int
    day: int
    hour: int
    minute: int
    second: int


def stamp(text: str) -> Stamp | None:
    """Give the first stamp in a text."""
    match = _STAMP.search(text)
    return Stamp(*(int(number) for number in match.groups())) if match else None


class Clock:
    """Knows the time zone of a log once a line was seen whose age was known; until then it is taken to be ours."""

    def __init__(self) -> None:
        self._zone: float | None = None

    def heed(self, told: Stamp, at: float) -> None:
        """Learn the zone from a line that was written within the minutes before `at` (Unix seconds)."""
        seconds = _as_utc(told, at)
        zone = math.floor((at - seconds + SLACK) / STEP) * STEP if seconds is not None else math.inf
        if abs(zone) <= FARTHEST:
            self._zone = zone

    def read(self, told: Stamp, near: float) -> float | None:
        """Give the Unix seconds of a stamp of the year around `near`; None if there is no such day or time."""
        seconds = _as_utc(told, near)
        if seconds is None:
            return None
        return seconds + (self._zone if self._zone is not None else -time.localtime(near).tm_gmtoff)


def _as_utc(told: Stamp, near: float) -> float | None:
    """Take a stamp for UTC, in the year in which it is nearest."""
    year = time.gmtime(near).tm_year
    found = [seconds for one in (year - 1, year, year + 1) if (seconds := _seconds(told, one)) is not None]
    return min(found, key=lambda seconds: abs(seconds - near), default=None)


def _seconds(told: Stamp, year: int) -> float | None:
    try:
        return datetime(year, told.month, told.day, told.hour, told.minute, told.second, tzinfo=UTC).timestamp()
    except ValueError:
        return None
