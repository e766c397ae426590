"""Whether a series of samples is flat or grows: pure.

The slope is Theil and Sen's (the median of the slopes of all pairs of samples), which single outliers do not
move. A series grows when its samples rise more often than they fall (Kendall's tau) and the slope, over the
time that was looked at, adds up to more than what is tolerated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

WARM_UP = 0.2  # of the samples, which are left out: caches fill, pools open
MOST_TAU = 0.5  # of a flat series: the share of pairs that rise less the share that fall
MOST_RISE = 0.05  # of a flat series' median
FEWEST = 5  # samples after the warm-up


@dataclass(frozen=True)
class Trend:
    """`slope_per_h` in the series' unit; `rise`: what the slope adds up to while it was watched."""

    first: float
    last: float
    slope_per_h: float
    rise: float
    tau: float
    flat: bool


def trend(times_s: Sequence[float], values: Sequence[float], floor: float) -> Trend:
    """`floor`: a rise up to this is none, in the series' unit. Too few samples are never flat."""
    first = int(len(times_s) * WARM_UP)
    points = list(zip(times_s[first:], values[first:], strict=True))
    if len(points) < FEWEST:
        return Trend(values[0], values[-1], 0.0, 0.0, 0.0, flat=False)
    pairs = [(t2 - t1, v2 - v1) for (t1, v1), (t2, v2) in combinations(points, 2) if t2 > t1]
    slope_per_s = median(rise / time for time, rise in pairs)
    tau = sum((rise > 0) - (rise < 0) for _, rise in pairs) / len(pairs)
    rise = slope_per_s * (points[-1][0] - points[0][0])
    tolerated = max(floor, MOST_RISE * abs(median(value for _, value in points)))
    return Trend(
        points[0][1], points[-1][1], slope_per_s * 3600, rise, tau, flat=tau <= MOST_TAU or rise <= tolerated
    )
