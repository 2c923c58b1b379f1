"""The part of a game that needs no trees: its regression on shares of the rows, their products, and membership."""

from dataclasses import dataclass

import numpy as np

from surrogateshap.estimate.owen import mixture_interactions, mixture_shapley
from surrogateshap.games.encoded import Bools, Floats, Ints
from surrogateshap.games.membership import coalition_shares

MOST_ROWS = 6_000
"""Coalitions that are regressed on: time grows with the third power, memory with the second."""
_TUNING_ROWS = 1_000
_PRODUCTS, _MEMBERSHIPS = (0.0, 0.1, 1.0, 10.0), (0.0, 0.03)
_PENALTIES = np.logspace(-8, 1, 10)
_CONSTANT = 10.0
"""Prior variance of the intercept, in units of the variance of v."""


@dataclass(frozen=True)
class Tuning:
    """Prior variances of the products and of membership, against 1 for shares, and of the noise."""

    products: float
    membership: float
    penalty: float


@dataclass(frozen=True)
class Quadratic:
    """v(S) ≈ c + Σ_k m_k a_k + Σ_kl Q_kl a_k a_l + Σ_k w_k [k ∈ S] with the shares a_k(S) = n_k [k ∈ S] / N_S."""

    rows: Ints
    intercept: float
    shares: Floats
    """m (n,)."""
    products: Floats
    """Q (n, n), symmetric."""
    membership: Floats
    """w (n,)."""
    tuning: Tuning

    def predict(self, masks: Bools) -> Floats:
        """(M,) values of coalitions (M, n)."""
        shares = coalition_shares(masks, self.rows)
        curved = ((shares @ self.products) * shares).sum(axis=1)
        return np.asarray(self.intercept + shares @ self.shares + curved + masks @ self.membership)

    def shapley(self) -> Floats:
        """Shapley values (n,), the jump at ∅ left out: exact for this function."""
        return mixture_shapley(self.shares, self.products, self.rows) + self.membership

    def interactions(self) -> Floats:
        """Pairwise Shapley interaction indices (n, n), the jump at ∅ left out."""
        return mixture_interactions(self.shares, self.products, self.rows)


def fit_quadratic(masks: Bools, values: Floats, rows: Ints, tuning: Tuning | None = None) -> Quadratic:
    """Ridge regression of (M,) values on coalitions (M, n), in its kernel form; at most MOST_ROWS of them count.

    A utility of a mixture is a function of the mixed statistics Σ a_k T_k; its Taylor series begins with these terms,
    and a mean or a squared distance ends with them. Equal prior variances of all m_k and of all Q_kl say that
    contributors' statistics are alike before anything is seen. `tuning` None: that of the least leave-one-out error.
    """
    kept = _some(len(values), MOST_ROWS)
    masks, values = masks[kept], values[kept]
    mean, sd = float(values.mean()), float(values.std())
    n = masks.shape[1]
    if sd <= 1e-14 * abs(mean) or len(masks) < 3:
        nothing = Tuning(1.0, 0.0, 1.0) if tuning is None else tuning
        return Quadratic(rows, mean, np.zeros(n), np.zeros((n, n)), np.zeros(n), nothing)
    shares, inside = coalition_shares(masks, rows), masks.astype(np.float64) - 0.5
    scale = 1 / np.sqrt((shares**2).sum(axis=1).mean())
    targets = (values - mean) / sd
    if tuning is None:
        part = _some(len(values), _TUNING_ROWS)
        tuning = _tune(shares[part] * scale, inside[part], targets[part])
    kernel = _kernel(shares * scale, inside, tuning.products, tuning.membership)
    kernel.flat[:: len(kernel) + 1] += tuning.penalty
    dual = sd * _solve(kernel, targets)
    membership = tuning.membership * 4 / n * (dual @ inside)
    return Quadratic(
        rows,
        mean + _CONSTANT * float(dual.sum()) - float(membership.sum()) / 2,
        scale**2 * (dual @ shares),
        tuning.products * scale**4 * (shares.T * dual) @ shares,
        membership,
        tuning,
    )


def _some(rows: int, most: int) -> Ints:
    """Rows that are looked at, in order: all, or `most` drawn once and for all, the last (N) among them."""
    if rows <= most:
        return np.arange(rows)
    drawn = np.random.default_rng(0).choice(rows - 1, size=most - 1, replace=False)
    return np.append(np.sort(drawn), rows - 1)


def _kernel(shares: Floats, inside: Floats, products: float, membership: float) -> Floats:
    linear = shares @ shares.T
    kernel = linear * products
    kernel += 1
    kernel *= linear
    kernel += _CONSTANT
    if membership:
        kernel += (membership * 4 / inside.shape[1]) * (inside @ inside.T)
    return np.asarray(kernel)


def _solve(matrix: Floats, targets: Floats) -> Floats:
    from scipy.linalg import cho_factor, cho_solve

    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve(factor, targets, check_finite=False))


def _tune(shares: Floats, inside: Floats, targets: Floats) -> Tuning:
    """The tuning with the least leave-one-out error: the residual is (K⁻¹y)_i / (K⁻¹)_ii."""
    best, found = np.inf, Tuning(1.0, 0.0, 1.0)
    for products in _PRODUCTS:
        for membership in _MEMBERSHIPS:
            spectrum, basis = np.linalg.eigh(_kernel(shares, inside, products, membership))
            spectrum = np.maximum(spectrum, 0.0)
            scores, squares = targets @ basis, basis**2
            for penalty in _PENALTIES:
                inverse = 1 / (spectrum + penalty)
                error = float((((basis * inverse) @ scores / (squares @ inverse)) ** 2).mean())
                if error < best:
                    best, found = error, Tuning(products, membership, float(penalty))
    return found
