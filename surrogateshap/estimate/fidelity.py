"""How well a proxy game agrees with the retraining game, on coalitions whose retrained value is known."""

from dataclasses import dataclass

import numpy as np

from surrogateshap.games.encoded import Bools, Floats, Ints

LEAST = 3
_BINS = 5
_RESAMPLES = 1_000
_DIGITS = 12


class UndefinedError(ValueError):
    """Agreement has no value, because something is equal on all anchors; the text says what."""


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """A proxy game's values beside the retrained ones of m anchors."""

    spearman: Correlation
    """Between the values."""
    lds: Correlation
    """Between the additive prediction Σ_{i∈S} φ_i and the retrained values."""
    intercept: float
    slope: float
    """Of the least squares line through the retrained values, given the proxy's."""
    bins: tuple[tuple[int, float, float], ...]
    """Anchors, mean proxy value and mean retrained value of up to 5 bins of equal counts, lowest proxy values first."""


def agreement(
    masks: Bools, proxy: Floats, retrained: Floats, shapley: Floats, level: float, seed: int = 0
) -> Agreement:
    """Agreement of proxy (m,) and retrained (m,) values of coalitions (m, n), given the proxy's Shapley values (n,).

    The linear datamodeling score is that of Park et al. 2023 (arXiv 2303.14186, section 3). It punishes games that are
    not additive, however right their Shapley values are. Intervals of coverage `level` are quantiles of the bootstrap
    over anchors, complementary ones together; they say nothing of the noise in the values. Raises UndefinedError where
    one of the three is the same for all anchors, and where there are fewer than 3.
    """
    if len(masks) < LEAST:
        raise UndefinedError(f"{len(masks)} anchors are too few: at least {LEAST} are needed")
    additive = masks @ shapley
    for name, values in (
        ("retrained values", retrained),
        ("proxy's values", proxy),
        ("sums of the proxy's Shapley values", additive),
    ):
        if _alike(values):
            raise UndefinedError(f"the {name} are the same for all anchors")
    times = resample_anchors(masks, _RESAMPLES, seed)
    slope = float(np.cov(proxy, retrained)[0, 1] / proxy.var(ddof=1))
    order = np.argsort(proxy, kind="stable")
    parts = np.array_split(order, min(_BINS, len(order)))
    return Agreement(
        spearman=_correlation(proxy, retrained, times, level),
        lds=_correlation(additive, retrained, times, level),
        intercept=float(retrained.mean() - slope * proxy.mean()),
        slope=slope,
        bins=tuple((len(part), float(proxy[part].mean()), float(retrained[part].mean())) for part in parts),
    )


def rank_agreement(masks: Bools, a: Floats, b: Floats, level: float, seed: int = 0) -> Correlation | None:
    """Spearman correlation of two values (m,) of coalitions (m, n), with the interval that `agreement` has.

    Coalitions where one of them is NaN are left out. None where fewer than 3 are left, or one of them is constant.
    """
    there = np.isfinite(a) & np.isfinite(b)
    a, b, masks = a[there], b[there], masks[there]
    if len(masks) < LEAST or _alike(a) or _alike(b):
        return None
    return _correlation(a, b, resample_anchors(masks, _RESAMPLES, seed), level)


def complements(masks: Bools) -> Ints:
    """(m,): a number for each of m different coalitions that it shares with its complement, wherever that stands."""
    groups = np.empty(len(masks), dtype=np.int64)
    seen: dict[bytes, int] = {}
    for row, mask in enumerate(masks):
        seen[mask.tobytes()] = groups[row] = seen.get((~mask).tobytes(), row)
    return groups


def resample_anchors(masks: Bools, resamples: int, seed: int) -> Ints:
    """How often each bootstrap resample holds each anchor, (R, m): coalitions are drawn with their complements."""
    _, group_of_row = np.unique(complements(masks), return_inverse=True)
    groups = int(group_of_row.max()) + 1
    drawn = np.random.default_rng(seed).integers(groups, size=(resamples, groups))
    counts = np.zeros((resamples, groups), dtype=np.int64)
    np.add.at(counts, (np.arange(resamples)[:, None], drawn), 1)
    return np.asarray(counts[:, group_of_row])


def spearman(a: Floats, b: Floats, times: Ints) -> Floats:
    """Rank correlations (R,) of values (m,) and (m,) that each occur `times` (R, m); ties get mean ranks.

    NaN where all values are equal.
    """
    first, second = _ranks(a, times), _ranks(b, times)
    total = times.sum(axis=1, keepdims=True)
    first = first - (times * first).sum(axis=1, keepdims=True) / total
    second = second - (times * second).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((times * first**2).sum(axis=1) * (times * second**2).sum(axis=1))
    both = (times * first * second).sum(axis=1)
    found = np.divide(both, spread, out=np.full(len(times), np.nan), where=spread > 0)
    return np.asarray(np.clip(found, -1.0, 1.0))


def _ranks(values: Floats, times: Ints) -> Floats:
    """Mean ranks (R, m) among all that occur.

    Values are told apart up to the last digits, which depend on the order of sums: coalitions of equal value must tie.
    """
    largest = np.abs(values).max()
    rounded = np.round(values / largest, _DIGITS) if largest > 0 else values
    _, place = np.unique(rounded, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    tied = np.add.reduceat(times[:, order], starts, axis=1)
    return np.asarray((np.cumsum(tied, axis=1) - (tied - 1) / 2)[:, place])


def _correlation(a: Floats, b: Floats, times: Ints, level: float) -> Correlation:
    value = float(spearman(a, b, np.ones((1, len(a)), dtype=np.int64))[0])
    drawn = spearman(a, b, times)
    drawn = drawn[np.isfinite(drawn)]  # resamples of equal values say nothing
    if len(drawn) == 0:
        return Correlation(value, -1.0, 1.0)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Correlation(value, float(min(low, value)), float(max(high, value)))


def _alike(values: Floats) -> bool:
    return bool(np.ptp(values) <= 10.0**-_DIGITS * np.abs(values).max())
