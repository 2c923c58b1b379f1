"""The surrogate: a regression on shares and membership, and boosted trees on what it leaves."""

from dataclasses import dataclass

import numpy as np

from surrogateshap.estimate.coalitions import coalition_values, pair_groups
from surrogateshap.estimate.exact import exact_shapley
from surrogateshap.estimate.fit import Fit, TreeSettings, share_gap
from surrogateshap.estimate.shares import linear_shapley, ridge, share_features
from surrogateshap.estimate.trees import Trees, fit_trees, predict, tree_shapley
from surrogateshap.games.encoded import Bools, Floats, Ints

_FOLDS = 5
"""Of the cross-validation."""


@dataclass(frozen=True)
class Surrogate:
    """A fitted surrogate of v."""

    rows: Ints
    intercept: float
    coefficients: Floats
    """(2n,): of shares, then of membership."""
    trees: Trees | None

    def predict(self, masks: Bools) -> Floats:
        """(M,) values of coalitions (M, n)."""
        return self.intercept + share_features(masks, self.rows) @ self.coefficients + predict(self.trees, masks)

    def shapley(self, basis: Floats | None = None) -> Floats:
        """Shapley values (n,), the jump at ∅ left out; `basis` as in `linear_shapley`."""
        linear = linear_shapley(self.coefficients[:, None], self.rows, basis)[:, 0]
        return linear + tree_shapley(self.trees, len(self.rows))


def train(masks: Bools, values: Floats, rows: Ints, settings: TreeSettings, seed: int) -> Surrogate:
    """Fits (M,) values of coalitions (M, n). The empty one has no place here: its jump is shared out afterwards."""
    features = share_features(masks, rows)
    intercepts, coefficients = ridge(features, values[:, None])
    intercept, slopes = float(intercepts[0]), coefficients[:, 0]
    residuals = values - intercept - features @ slopes
    return Surrogate(rows, intercept, slopes, fit_trees(masks, residuals, settings, seed))


def fit_surrogate(
    masks: Bools,
    values: Floats,
    v_empty: float,
    v_full: float,
    settings: TreeSettings,
    seed: int,
    rows: Ints | None = None,
    *,
    cross_validate: bool = True,
) -> Fit:
    """Shapley values from (M,) values of coalitions (M, n) drawn by `draw_pairs`.

    The grand coalition is added to the rows, the empty one is not: a single row that trees can't fit. `rows` (n,) are
    the contributors' row counts, which say what share of a coalition each one is; equal where they are None. Where the
    coalitions are all there are (always so for one contributor, mostly for very few), the result is exact and says so.
    Raises ValueError where shapes disagree.
    """
    n = masks.shape[1]
    if values.shape != (len(masks),) or (rows is not None and rows.shape != (n,)):
        raise ValueError(f"{len(masks)} coalitions of {n} contributors, but {values.shape} values")
    every = coalition_values(masks, values, v_empty, v_full)
    if every is not None:
        shapley, gap = share_gap(exact_shapley(every, n), v_full - v_empty)
        return Fit(shapley, gap, None, len(masks), "exact")
    held = np.ones(n, dtype=np.int64) if rows is None else rows
    surrogate = train(*with_full(masks, values, v_full), held, settings, seed)
    shapley, gap = share_gap(surrogate.shapley(), v_full - v_empty)
    r2 = _cross_validate(masks, values, v_full, held, settings, seed) if cross_validate else None
    return Fit(shapley, gap, r2, len(masks), "surrogate")


def with_full(masks: Bools, values: Floats, v_full: float) -> tuple[Bools, Floats]:
    """Coalitions and values with the grand coalition as one more row."""
    return np.vstack([masks, np.ones((1, masks.shape[1]), dtype=np.bool_)]), np.append(values, v_full)


def _cross_validate(
    masks: Bools, values: Floats, v_full: float, rows: Ints, settings: TreeSettings, seed: int
) -> float | None:
    """R² on coalitions that five refits didn't see; pairs stay together. None where that means nothing."""
    groups = pair_groups(masks)
    spread = float(((values - values.mean()) ** 2).sum())
    if groups[-1] + 1 < 2 * _FOLDS or spread == 0:
        return None
    fold = np.random.default_rng(seed).permutation(groups[-1] + 1)[groups] % _FOLDS
    missed = 0.0
    for k in range(_FOLDS):
        seen = fold != k
        surrogate = train(*with_full(masks[seen], values[seen], v_full), rows, settings, seed)
        missed += float(((values[~seen] - surrogate.predict(masks[~seen])) ** 2).sum())
    return 1 - missed / spread
