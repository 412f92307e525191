"""How far a window may be shifted before it means something: thresholds from the baseline's own sample.

What varies is measured on the baseline in time order, so autocorrelation and slow components are in it. What a finite
baseline cannot know is added: the error of its own median, the error of the variance, hours that it never saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import exp, log, sqrt
from statistics import NormalDist, fmean

from monitor.detect.scan import LONGEST, information, shift, sizes

FLOOR = 0.05
"""The smallest effect that is ever called a regression."""
HUMBLE_SPAN = 86_400.0
HUMBLE_EFFECT = 0.20
HUMBLE_SPREAD = 0.05
"""A baseline shorter than a day cannot know how hours differ: they are taken to differ by this spread, and a smaller
effect than this only informs. So it is with one captured at another cadence than that of watching."""
OTHER_CADENCE = 3.0
"""Cadences that differ by this factor or more are not the same: an idle server is slower."""

SURE_OF_BASELINE = 2.0
SURE_OF_HOURS = 3.0
DOUBTED = 2.0
"""Standard deviations by which the baseline's median, and an hour, may be off: both stay as they are for long, so they
are added to the threshold and not mixed into its noise. A window is over several leaves: one that is off by this many
times as much as all of them together is held against its own error, too."""
SLOW = 28.0
SLOW_MEMORY = 0.93
SLOW_SHARE = 0.7
"""A humble baseline may hide a slow component, as measured on a shared machine: one that forgets 7 % with each probe,
so that 28 of them are worth one. How much of the variance it is, at most this share, neighbours' likeness bounds."""
BLOCKS = 8
"""A window is measured on the baseline only if so many of it fit."""
SHARE = 4
"""A window is watched only if so many of it fit into the baseline."""
HUMBLE_LONGEST = 240
RAREST = 1e-9
"""The rarest event that a bell curve is asked about."""
MONTH = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Window:
    """One window of `size` probes: a shift of `least` spreads or more is news, or of `humble` if hours may differ.

    `noise` is the standard deviation of the shift when nothing is wrong.
    """

    size: int
    least: float
    humble: float
    noise: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one metric of one profile can be held to: the autocorrelation of neighbours, and a threshold per window.

    `spread` is the typical leaf's, in log seconds; `cadence` the seconds between two probes when watching. What is
    typical of n samples is off by `sway` / sqrt(n) spreads; thresholds allow for `error`.
    """

    memory: float
    windows: tuple[Window, ...]
    humble: bool
    cadence: float
    spread: float
    sway: float
    error: float


def calibrate(  # what is known of a baseline's sample
    times: Sequence[float], scores: Sequence[float], spread: float, leaves: int, *, rate: float, cadence: float
) -> Calibration:
    """Calibrate on a baseline's scores in time order, of which transients are left out.

    `spread` is the typical leaf's in log seconds, `rate` how many false findings per second are acceptable, `cadence`
    the seconds between two probes when watching.
    """
    gap = (times[-1] - times[0]) / (len(times) - 1)
    short = times[-1] - times[0] + 2 * gap < HUMBLE_SPAN  # a day's first and last probe are not a day apart
    humble = short or not 1 / OTHER_CADENCE < gap / cadence < OTHER_CADENCE
    mean = fmean(scores)
    centred = [one - mean for one in scores]
    memory = correlation(centred)
    longest = max(len(scores) // SHARE, HUMBLE_LONGEST if humble else 0)
    watched = sizes(min(LONGEST, longest))
    slow = min(SLOW_SHARE, (memory + 2 / sqrt(len(scores))) / SLOW_MEMORY) if humble else 0.0
    variances = _variances(centred, memory, watched, slow)
    sway = sqrt(variances[-1] * watched[-1])
    error = min(sqrt(SLOW_SHARE), sway / sqrt(len(scores)) * max(1.0, leaves**0.25))
    hours = SURE_OF_HOURS * HUMBLE_SPREAD / spread if humble else 0.0
    windows = []
    for size, variance in zip(watched, variances, strict=True):
        often = min(0.4, max(RAREST, rate * cadence * size / len(watched)))
        least = NormalDist().inv_cdf(1 - often) * sqrt(variance) + SURE_OF_BASELINE * error
        windows.append(Window(size, least, least + hours, sqrt(variance)))
    return Calibration(memory, tuple(windows), humble, cadence, spread, sway, error)


def doubt(calibration: Calibration, error: float) -> float:
    """Say by how many spreads a leaf may be further off than thresholds allow for; `error` is the leaf's own."""
    return SURE_OF_BASELINE * max(0.0, min(sqrt(SLOW_SHARE), calibration.sway * error) - DOUBTED * calibration.error)


def resolves(calibration: Calibration, shortest: int) -> tuple[tuple[float, float], ...]:
    """Say what can be seen: pairs of an effect (0.06 for +6 %) and the seconds after which it is found, quickest first.

    No window is shorter than `shortest` probes. What is smaller than a humble baseline's effect only informs.
    """
    pairs: list[tuple[float, float]] = []
    smallest = HUMBLE_EFFECT if calibration.humble else FLOOR
    for window in calibration.windows:
        effect = max(exp(window.humble * calibration.spread) - 1, smallest)
        if window.size >= shortest and (not pairs or effect < pairs[-1][0]):
            pairs.append((effect, window.size * calibration.cadence))
    return tuple(pairs)


def correlation(centred: Sequence[float]) -> float:
    """Give the autocorrelation of neighbours among values around zero: 0 to 0.9."""
    power = sum(one * one for one in centred)
    shared = sum(one * other for one, other in pairwise(centred))
    return min(0.9, max(0.0, shared / power)) if power else 0.0


def gate(effect: float) -> float:
    """Give the log change of an effect."""
    return log(1 + effect)


def _variances(centred: Sequence[float], memory: float, watched: Sequence[int], slow: float) -> list[float]:
    """Give the variance of each window's shift; one too long to be measured varies as the longest measured does."""
    total = [0.0, *accumulate(centred)]
    worst, found = 0.0, []
    for size in watched:
        worth = information(size, memory)
        if size * BLOCKS <= len(centred):
            ends = range(size, len(centred) + 1)
            shifts = (shift(centred, total, end, size, memory) for end in ends)
            measured = fmean(one * one for one in shifts) * worth / (1 - size / len(centred))
            worst = max(worst, measured * (1 + sqrt(2 * size / (1.5 * len(centred)))))
        found.append(max(worst / worth, slow * min(1.0, SLOW / size)))
    return found
