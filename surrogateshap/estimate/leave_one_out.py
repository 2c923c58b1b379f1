"""What the grand coalition loses without each contributor; no Shapley value, and a baseline for one."""

import numpy as np

from surrogateshap.estimate.fit import CoalitionsError, Fit
from surrogateshap.estimate.resampling import ResampledGame, differences
from surrogateshap.games.coalitions import all_but_one
from surrogateshap.games.encoded import Bools, Floats


def fit_leave_one_out(masks: Bools, values: Floats, v_empty: float, v_full: float) -> Fit:
    """v(N) − v(N∖i), from the rows that lack one contributor; others are not used.

    Efficiency isn't imposed: the values say what is lost, not how v(N) − v(∅) is shared, and the gap says how far apart
    the two are. A row that is there several times is averaged. Raises CoalitionsError where one is missing.
    """
    n = masks.shape[1]
    if n == 1:
        return Fit(np.array([v_full - v_empty]), 0.0, None, 0, "leave_one_out")
    used = masks.sum(axis=1) == n - 1
    absent = (~masks[used]).argmax(axis=1)
    times = np.bincount(absent, minlength=n)
    if not times.all():
        missing = tuple(int(i) for i in np.flatnonzero(times == 0))
        raise CoalitionsError(
            "`leave_one_out` needs every coalition that lacks one contributor alone; "
            f"{len(missing)} of {n} are not there",
            "Use `surrogate` or `kernel`, which take any coalitions.",
            missing,
        )
    losses = v_full - np.bincount(absent, weights=values[used], minlength=n) / times
    gap = v_full - v_empty - float(losses.sum())
    return Fit(losses, gap, None, int(used.sum()), "leave_one_out")


def loss_draws(game: ResampledGame, resamples: int, seed: int) -> Floats:
    """Deviations (R, n) of v(N) − v(N∖i) when the pool's images are resampled; `image_draws` has Shapley values'."""
    masks, rng = np.vstack([all_but_one(game.n), np.ones((1, game.n), dtype=np.bool_)]), np.random.default_rng(seed)
    moved = differences(game, [game.resample(rng) for _ in range(resamples)], masks)
    return moved[:, -1:] - moved[:, :-1]
