"""How much any estimator's values move when its coalitions, or the noise in their values, come out otherwise."""

from dataclasses import replace
from typing import Any

import numpy as np

from surrogateshap.estimate.coalitions import pair_groups
from surrogateshap.estimate.estimators import ESTIMATORS, Options, Sample
from surrogateshap.estimate.fit import Fit
from surrogateshap.estimate.resampling import coalition_draws
from surrogateshap.games.encoded import Floats, Ints


def sample_draws(fit: Fit, sample: Sample, options: Options, noise: float, refits: int = 20) -> Floats | None:
    """Draws (Q, n) around the values that `fit` found in `sample`; None where nothing could have come out otherwise.

    Coalitions are resampled in their complementary pairs, or orderings in theirs; `exact` and `leave_one_out` choose
    none, so that only the noise in their values counts, of standard deviation `noise`. Resampling holds noise too.
    """
    if fit.estimator == "surrogate":
        ends = (sample.v_empty, sample.v_full)
        return coalition_draws(sample.masks, sample.values, *ends, options.settings, options.seed, refits, sample.rows)
    quick = replace(options, cross_validate=False, interactions=False)
    estimator, rng = ESTIMATORS[fit.estimator], np.random.default_rng(options.seed)
    if fit.estimator in ("exact", "leave_one_out") or len(sample.masks) == 0:
        if noise == 0 or len(sample.masks) == 0:
            return None
        moved = (sample.values + noise * rng.normal(size=len(sample.values)) for _ in range(10 * refits))
        return np.array([estimator.fit(replace(sample, values=values), quick).values for values in moved])
    members = _groups(fit.estimator, sample)
    draws = []
    for _ in range(refits):
        drawn = np.concatenate([members[group] for group in rng.integers(len(members), size=len(members))])
        resampled = replace(sample, masks=sample.masks[drawn], values=sample.values[drawn])
        draws.append(estimator.fit(resampled, quick).values)
    return np.array(draws)


def _groups(estimator: str, sample: Sample) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """Rows that belong together: an ordering and its reverse, or a coalition and its complement."""
    rows: Ints = np.arange(len(sample.masks))
    if estimator == "permutation":
        each = max(1, sample.masks.shape[1] - 1)
        orderings = sample.masks.reshape(-1, each, sample.masks.shape[1])
        reversed_pairs = len(orderings) % 2 == 0 and (orderings[0::2] == ~orderings[1::2, ::-1]).all()
        return list(rows.reshape(-1, 2 * each if reversed_pairs else each))
    groups = pair_groups(sample.masks)
    return list(np.split(rows, np.flatnonzero(np.diff(groups)) + 1))
