"""Shapley values and interactions of functions of contributors' shares, by Owen's multilinear extension."""

from collections.abc import Iterator

import numpy as np

from surrogateshap.games.encoded import Floats, Ints

# 1/N_S = ∫ exp(−N_S x) dx and 1/N_S² = ∫ x exp(−N_S x) dx turn shares a_k = n_k [k ∈ S] / N_S and their products into
# products over members. With inclusion probabilities q_k, f_k = 1 − q_k + q_k exp(−n_k x) and
# r_k = n_k q_k exp(−n_k x) / f_k, the multilinear extension (Owen 1972) of Σ m_k a_k + Σ Q_kl a_k a_l is
#     ∫ Π f_k · (Σ m_k r_k + x Σ_{k≠l} Q_kl r_k r_l + x Σ Q_kk n_k r_k) dx;
# Shapley values are the integrals over q of its first derivatives on the diagonal, interaction indices of the second.


def quadrature(rows: Ints) -> Iterator[tuple[float, float, Floats, Floats]]:
    """Yields (q, weight of q, x, dx): Gauss–Legendre in q and the trapezoidal rule in log x.

    For the integrands here that is as good as exact.
    """
    held = np.asarray(rows, dtype=np.float64)
    nodes, weights = np.polynomial.legendre.leggauss(min(len(held) // 2 + 2, 100))
    step = 0.2
    x = np.exp(np.arange(-34 - np.log(held.sum()), np.log(60 / held.min()), step))
    for q, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        yield float(q), float(weight), x, x * step


def share_shapley(rows: Ints) -> Floats:
    """Shapley values Φ (n, n) of the n share games: Φ[i, k] is contributor i's in the game S ↦ n_k [k ∈ S] / N_S.

    With them the Shapley values of any mean over a mixture, v(S) = Σ_k a_k(S) m_k, are Φ m: exact for every n.
    """
    held = np.asarray(rows, dtype=np.float64)
    n = len(held)
    shapley, own = np.zeros((n, n)), np.zeros(n)
    for q, weight, x, dx in quadrature(rows):
        decay, loss = np.exp(-x[:, None] * held), np.expm1(-x[:, None] * held)
        factors = 1 + q * loss
        measure = np.exp(np.log(factors).sum(axis=1)) * dx * weight
        density = held * decay / factors
        own += measure @ density
        shapley += (loss / factors).T @ (density * (measure * q)[:, None])
    np.fill_diagonal(shapley, own)
    return shapley


def mixture_shapley(shares: Floats, products: Floats, rows: Ints) -> Floats:
    """Shapley values (n,) of S ↦ Σ_k m_k a_k + Σ_kl Q_kl a_k a_l, given m (n,) and symmetric Q (n, n)."""
    shapley = np.zeros(len(rows))
    for measure, _, log_slope, slope, level, gradient in _derivatives(shares, products, rows):
        shapley += measure @ (log_slope * level[:, None] + slope * gradient)
    return shapley


def mixture_interactions(shares: Floats, products: Floats, rows: Ints) -> Floats:
    """Pairwise Shapley interaction indices (n, n) of the same function; symmetric, zeros on the diagonal.

    I_kl = Σ_{S ∌ k,l} |S|! (n − |S| − 2)!/(n − 1)! (v(S∪kl) − v(S∪k) − v(S∪l) + v(S)) (Grabisch & Roubens 1999).
    """
    n = len(rows)
    found, crossed = np.zeros((n, n)), np.zeros((n, n))
    for measure, x, log_slope, slope, level, gradient in _derivatives(shares, products, rows):
        one = log_slope.T @ (slope * gradient * measure[:, None])
        found += log_slope.T @ (log_slope * (level * measure)[:, None]) + one + one.T
        crossed += slope.T @ (slope * (2 * x * measure)[:, None])
    found += crossed * products
    np.fill_diagonal(found, 0.0)
    return found


def _derivatives(
    shares: Floats, products: Floats, rows: Ints
) -> Iterator[tuple[Floats, Floats, Floats, Floats, Floats, Floats]]:
    """Yields, for each q, over all x: the measure of x; x; ∂ log f_k/∂q_k; ∂r_k/∂q_k; the bracket; ∂ bracket/∂r_k."""
    held = np.asarray(rows, dtype=np.float64)
    own = np.diag(products) * held
    between = products - np.diag(np.diag(products))
    for q, weight, x, dx in quadrature(rows):
        decay, loss = np.exp(-x[:, None] * held), np.expm1(-x[:, None] * held)
        factors = 1 + q * loss
        density = held * decay / factors
        met = q * density @ between
        level = q * ((density * (shares + x[:, None] * (met + own))).sum(axis=1))
        gradient = shares + x[:, None] * (2 * met + own)
        yield np.exp(np.log(factors).sum(axis=1)) * dx * weight, x, loss / factors, density / factors, level, gradient
