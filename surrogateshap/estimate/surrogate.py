"""The surrogate: a regression on shares of the rows, their products and membership, and trees on what it leaves."""

from dataclasses import dataclass, replace

import numpy as np

from surrogateshap.estimate.coalitions import coalition_values, pair_groups
from surrogateshap.estimate.exact import fit_exact
from surrogateshap.estimate.fit import Fit, TreeSettings, share_gap
from surrogateshap.estimate.quadratic import MOST_ROWS, Quadratic, Tuning, fit_quadratic
from surrogateshap.estimate.trees import Trees, fit_trees, predict, tree_interactions, tree_shapley
from surrogateshap.games.encoded import Bools, Floats, Ints

_FOLDS = 5
"""Of the cross-validation."""
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Surrogate:
    """A fitted surrogate of v."""

    smooth: Quadratic
    trees: Trees | None

    def predict(self, masks: Bools) -> Floats:
        """(M,) values of coalitions (M, n)."""
        return self.smooth.predict(masks) + predict(self.trees, masks)

    def shapley(self) -> Floats:
        """Shapley values (n,), the jump at ∅ left out."""
        return self.smooth.shapley() + tree_shapley(self.trees, len(self.smooth.rows))

    def interactions(self) -> Floats:
        """Pairwise Shapley interaction indices (n, n), the jump at ∅ left out; zeros on the diagonal."""
        return self.smooth.interactions() + tree_interactions(self.trees, len(self.smooth.rows))


def train(
    masks: Bools, values: Floats, rows: Ints, settings: TreeSettings, seed: int, tuning: Tuning | None = None
) -> Surrogate:
    """Fits (M,) values of coalitions (M, n). The empty one has no place here: its jump is shared out afterwards."""
    smooth = fit_quadratic(masks, values, rows, tuning)
    residuals = values - smooth.predict(masks)
    # What is left of an interpolated game is rounding, which trees would only magnify.
    rest = residuals.std() > _ROUNDING * values.std()
    return Surrogate(smooth, fit_trees(masks, residuals, settings, seed) if rest else None)


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
    interactions: bool = False,
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
        return replace(fit_exact(every, n, interactions=interactions), coalitions=len(masks))
    held = np.ones(n, dtype=np.int64) if rows is None else rows
    surrogate = train(*with_full(masks, values, v_full), held, settings, seed)
    shapley, gap = share_gap(surrogate.shapley(), v_full - v_empty)
    r2, held_out = (
        _cross_validate(masks, values, v_full, held, settings, seed, surrogate.smooth.tuning)
        if cross_validate
        else (None, None)
    )
    between = None
    if interactions:
        # The jump at ∅ is a term of one coalition that holds neither of a pair: 1/(n − 1) of it goes to every pair.
        empty = np.zeros((1, n), dtype=np.bool_)
        jump = v_empty - float(surrogate.predict(empty)[0])
        found = surrogate.interactions() + jump / (n - 1)
        between = (found + found.T) / 2  # of rounding alone
        np.fill_diagonal(between, 0.0)
    return Fit(shapley, gap, r2, len(masks), "surrogate", between, held_out)


def with_full(masks: Bools, values: Floats, v_full: float) -> tuple[Bools, Floats]:
    """Coalitions and values with the grand coalition as one more row."""
    return np.vstack([masks, np.ones((1, masks.shape[1]), dtype=np.bool_)]), np.append(values, v_full)


def _cross_validate(
    masks: Bools, values: Floats, v_full: float, rows: Ints, settings: TreeSettings, seed: int, tuning: Tuning
) -> tuple[float | None, Floats | None]:
    """R² on coalitions that five refits didn't see; pairs stay together. None where that means nothing.

    And predicted beside evaluated values (k, 2) of these coalitions, in their order.

    One refit where coalitions are more than the regression takes: a fifth of them is enough then.
    """
    groups = pair_groups(masks)
    if groups[-1] + 1 < 2 * _FOLDS or np.ptp(values) == 0:
        return None, None
    fold = np.random.default_rng(seed).permutation(groups[-1] + 1)[groups] % _FOLDS
    missed, spread = 0.0, 0.0
    predicted = np.full(len(values), np.nan)
    for k in range(_FOLDS if len(masks) <= MOST_ROWS else 1):
        seen = fold != k
        surrogate = train(*with_full(masks[seen], values[seen], v_full), rows, settings, seed, tuning)
        predicted[~seen] = surrogate.predict(masks[~seen])
        missed += float(((values[~seen] - predicted[~seen]) ** 2).sum())
        spread += float(((values[~seen] - values.mean()) ** 2).sum())
    there = np.isfinite(predicted)
    return 1 - missed / spread if spread else None, np.column_stack([predicted, values])[there]
