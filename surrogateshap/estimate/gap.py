"""The retraining game from a few anchors: the proxy game plus a regularised model of what is missing from it."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from surrogateshap.estimate.fidelity import complements, resample_anchors
from surrogateshap.estimate.owen import share_shapley
from surrogateshap.games.encoded import Bools, Floats, Ints
from surrogateshap.games.membership import coalition_shares

FEWEST = 8
"""Anchors below which nothing is fitted."""
_SLOPES, _SHARES, _MEMBERSHIPS = (0.0, 0.3, 3.0), (0.0, 0.1, 1.0, 10.0), (0.0, 0.1, 1.0)
_NOISES = np.logspace(-4, 1, 11)
_CONSTANT = 10.0
"""Prior variances that are tried, in units of one that the anchors tell."""
_NEGLIGIBLE = 1e-3
"""Weight, against the likeliest's, below which a prior doesn't count."""
_FOLDS = 10


@dataclass(frozen=True)
class Prior:
    """Prior variances of the slope on the proxy, of share and of membership coefficients."""

    slope: float
    shares: float
    membership: float


@dataclass(frozen=True)
class Columns:
    """What coalitions and their proxy values are turned into, block by block."""

    rows: Ints
    centre: float
    """Of the proxy's values."""
    unit: float
    """Standard deviation of the retrained values."""
    scale: float
    """Of shares."""

    def of(self, masks: Bools, proxy: Floats) -> Floats:
        """(M, 2n + 2): a constant, the proxy's value, shares of the rows, membership."""
        shares = coalition_shares(masks, self.rows) * self.scale
        level = (proxy - self.centre) / self.unit
        constant = np.full(len(masks), np.sqrt(_CONSTANT))
        return np.column_stack([constant, level, shares, (masks - 0.5) * (2 / np.sqrt(len(self.rows)))])

    def shapley(self, proxy_shapley: Floats, v_empty: float) -> Floats:
        """(n, 2n + 2): Shapley values of each column's game, each 0 at ∅: that jump is everyone's alike."""
        n = len(self.rows)
        values = np.zeros((n, 2 * n + 2))
        values[:, 1] = proxy_shapley / self.unit
        values[:, 2 : 2 + n] = share_shapley(self.rows) * self.scale
        values[:, 2 + n :] = np.eye(n) * (2 / np.sqrt(n))
        return values + self.of(np.zeros((1, n), dtype=np.bool_), np.array([v_empty])) / n

    def roots(self, prior: Prior) -> Floats:
        """(2n + 2,): prior standard deviation of each column's coefficient."""
        n = len(self.rows)
        variances = np.repeat([1.0, prior.slope, prior.shares, prior.membership], [1, 1, n, n])
        return np.asarray(np.sqrt(variances))


@dataclass(frozen=True)
class Closing:
    """The retraining game as the proxy and the anchors tell it."""

    values: Floats
    """(n,) Shapley values; they add up to the corrected game's v(N) − v(∅)."""
    draws: Floats
    """(Q, n) draws from the posterior of the values: how far other anchors could have moved them."""
    r2: float
    """Of corrected values on anchors that neither fit nor tuning saw."""
    r2_draws: Floats
    """(Q,): the same with anchors resampled."""
    proxy_r2: float
    """Of the proxy's values as they are, on the same anchors."""
    columns: Columns
    coefficients: Floats
    """(2n + 2,), in units of `columns.unit`."""

    def predict(self, masks: Bools, proxy: Floats) -> Floats:
        """Retrained values (M,) of coalitions (M, n), none of them ∅, whose proxy values are (M,)."""
        return np.asarray(proxy + self.columns.unit * self.columns.of(masks, proxy) @ self.coefficients)


def close_gap(
    masks: Bools,
    proxy: Floats,
    retrained: Floats,
    proxy_shapley: Floats,
    v_empty: float,
    rows: Ints,
    seed: int = 0,
    draws: int = 200,
) -> Closing | None:
    """The retraining game from retrained values (M,) of anchors (M, n); None where they are fewer than FEWEST.

    v = p + α + (β − 1) (p − p̄) + Σ_k m_k a_k + Σ_k w_k [k ∈ S], a regression of the difference with normal priors on
    the coefficients, averaged over prior variances by their marginal likelihood (Rasmussen & Williams 2006, sections
    2.7 and 5.2). β > 1 says that the proxy understates. R² is told from anchors left out, a coalition and its
    complement always together. `proxy` (M,) and `proxy_shapley` (n,) are the proxy game's values, `v_empty` its v(∅),
    which the corrected game keeps. `rows` (n,) are the contributors' training rows.
    Two fidelities joined by a scale and a difference: Kennedy & O'Hagan 2000 (Biometrika 87, section 2).
    """
    if len(masks) < FEWEST:
        return None
    groups = complements(masks)
    least = 1e-12 * max(1.0, float(np.abs(retrained).max()))
    mean_square = (coalition_shares(masks, rows) ** 2).sum(axis=1).mean()
    columns = Columns(rows, float(proxy.mean()), max(float(retrained.std()), least), float(1 / np.sqrt(mean_square)))
    known, targets = columns.of(masks, proxy), (retrained - proxy) / columns.unit
    models = _models(columns, known, targets)
    mean = _mean(models, known, targets)
    games = columns.shapley(proxy_shapley, v_empty)
    missed = (targets - _held_out(columns, known, targets, groups, seed)) * columns.unit
    even = np.ones((1, len(masks)), dtype=np.int64)
    return Closing(
        values=proxy_shapley + columns.unit * games @ mean,
        draws=proxy_shapley + columns.unit * _draws(models, known, targets, draws, seed) @ games.T,
        r2=float(_r2(missed, retrained, even)[0]),
        r2_draws=_r2(missed, retrained, resample_anchors(masks, draws, seed)),
        proxy_r2=float(_r2(retrained - proxy, retrained, even)[0]),
        columns=columns,
        coefficients=mean,
    )


@dataclass(frozen=True)
class _Model:
    """One prior, and how probable it is after the anchors."""

    weight: float
    roots: Floats
    noise: float
    variance: float
    """That everything is in units of."""


def _models(columns: Columns, known: Floats, targets: Floats) -> list[_Model]:
    """Priors by their marginal likelihood, the common variance at its most likely; those that hardly count left out."""
    found = []
    for slope, shares, membership in product(_SLOPES, _SHARES, _MEMBERSHIPS):
        roots = columns.roots(Prior(slope, shares, membership))
        scaled = known * roots
        spectrum, basis = np.linalg.eigh(scaled @ scaled.T)
        squares = (targets @ basis) ** 2
        for noise in _NOISES:
            total = np.maximum(spectrum, 0.0) + noise
            variance = max(float((squares / total).mean()), 1e-20)
            likelihood = -0.5 * (len(targets) * np.log(variance) + float(np.log(total).sum()))
            found.append(_Model(likelihood, roots, float(noise), variance))
    best = max(model.weight for model in found)
    weighed = [replace(model, weight=float(np.exp(model.weight - best))) for model in found]
    kept = [model for model in weighed if model.weight > _NEGLIGIBLE]
    total_weight = sum(model.weight for model in kept)
    return [replace(model, weight=model.weight / total_weight) for model in kept]


def _mean(models: list[_Model], known: Floats, targets: Floats) -> Floats:
    """(2n + 2,) expected coefficients."""
    mean = np.zeros(known.shape[1])
    for model in models:
        scaled = known * model.roots
        kernel = scaled @ scaled.T + model.noise * np.eye(len(targets))
        mean += model.weight * model.roots * (scaled.T @ np.linalg.solve(kernel, targets))
    return mean


def _draws(models: list[_Model], known: Floats, targets: Floats, draws: int, seed: int) -> Floats:
    """(Q, 2n + 2) coefficients drawn from the posterior: a prior by its weight, a variance, then coefficients.

    By Matheron's rule: a draw from the prior, moved by what it misses of the targets plus drawn noise.
    """
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(draws, [model.weight for model in models])
    found = []
    for model, count in zip(models, counts, strict=True):
        if count == 0:
            continue
        scaled = known * model.roots
        kernel = scaled @ scaled.T + model.noise * np.eye(len(targets))
        deviation = np.sqrt(model.variance * len(targets) / rng.chisquare(len(targets), size=(count, 1)))
        coefficients = deviation * rng.normal(size=(count, known.shape[1]))
        noise = deviation * np.sqrt(model.noise) * rng.normal(size=(count, len(targets)))
        missed = targets - coefficients @ scaled.T - noise
        found.append((coefficients + np.linalg.solve(kernel, missed.T).T @ scaled) * model.roots)
    return np.concatenate(found)


def _held_out(columns: Columns, known: Floats, targets: Floats, groups: Ints, seed: int) -> Floats:
    """(M,) predictions of the targets on folds that nothing else saw; groups stay together."""
    _, groups = np.unique(groups, return_inverse=True)
    count = int(groups.max()) + 1
    folds = min(_FOLDS, count)
    fold = (np.random.default_rng(seed).permutation(count) % folds)[groups]
    predicted = np.zeros(len(targets))
    for k in range(folds):
        seen = fold != k
        if seen.any():
            models = _models(columns, known[seen], targets[seen])
            predicted[~seen] = known[~seen] @ _mean(models, known[seen], targets[seen])
    return predicted


def _r2(missed: Floats, values: Floats, times: Ints) -> Floats:
    """(R,): share of the variance of (m,) values that (m,) errors leave explained, each counted `times` (R, m)."""
    mean = (times @ values) / times.sum(axis=1)
    spread = (times * (values - mean[:, None]) ** 2).sum(axis=1)
    left = np.divide(times @ missed**2, spread, out=np.ones(len(times)), where=spread > 0)
    return np.asarray(1 - left)
