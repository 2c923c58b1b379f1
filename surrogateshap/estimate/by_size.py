"""What a contributor is worth to coalitions of each size."""

from dataclasses import dataclass
from math import comb

import numpy as np

from surrogateshap.games.encoded import Bools, Floats


@dataclass(frozen=True)
class SizeValue:
    """Coalitions of some sizes, none of which holds the contributor."""

    smallest: int
    largest: int
    value: float
    """Mean of v(S ∪ i) − v(S) over coalitions S of these sizes."""
    error: float | None
    """Standard error of that mean, from the choice of coalitions: 0 where all were evaluated; None where one was."""
    spread: float | None
    """Standard deviation of v(S ∪ i) − v(S) between the coalitions of which both were evaluated; None below two."""
    coalitions: int
    """Evaluated ones that the mean rests on, with the contributor and without."""


def value_by_size(
    masks: Bools, values: Floats, v_empty: float, v_full: float, contributor: int, most: int = 12
) -> tuple[SizeValue, ...]:
    """Where a contributor's Shapley value comes from: φ_i is the mean over the sizes s = 0 … n − 1 of its mean
    marginal contribution E[v(S ∪ i) − v(S) | |S| = s] (Castro et al. 2017, section 3).

    `masks` (M, n) are the evaluated coalitions without ∅ and N, `values` (M,) theirs. Each side of the difference is
    averaged by itself, over the coalitions of size s + 1 with the contributor and those of size s without: drawn
    coalitions seldom come as such pairs, and members are uniform given the size, so that the difference of the means is
    unbiased. Where all coalitions are there it is the mean marginal contribution itself. Standard errors have the
    correction for finite populations. Sizes without coalitions on both sides are left out; where more than `most` are
    there, neighbours are taken together, weighted by how well each is known.
    """
    n = masks.shape[1]
    none = np.zeros((1, n), dtype=np.bool_)
    every, first = np.unique(np.vstack([none, masks, ~none]), axis=0, return_index=True)
    worth = np.concatenate([[v_empty], values, [v_full]])[first]
    inside = every[:, contributor]
    size = every.sum(axis=1) - inside
    sides = [_side(worth[part], size[part], n) for part in (inside, ~inside)]
    (with_count, with_mean, with_error), (out_count, out_mean, out_error) = sides
    known = np.flatnonzero((with_count > 0) & (out_count > 0))
    marginal_size, marginal = _pairs(every, worth, contributor)
    found = []
    for part in np.array_split(known, min(most, len(known))) if len(known) else ():
        weight = with_count[part] * out_count[part] / (with_count[part] + out_count[part])
        weight = weight / weight.sum()
        error = float(np.sqrt((weight**2 * (with_error[part] + out_error[part])).sum()))
        pairs = marginal[(marginal_size >= part[0]) & (marginal_size <= part[-1])]
        found.append(
            SizeValue(
                smallest=int(part[0]),
                largest=int(part[-1]),
                value=float((weight * (with_mean[part] - out_mean[part])).sum()),
                error=error if np.isfinite(error) else None,
                spread=float(pairs.std(ddof=1)) if len(pairs) > 1 else None,
                coalitions=int(with_count[part].sum() + out_count[part].sum()),
            )
        )
    return tuple(found)


def _side(worth: Floats, size: np.ndarray, n: int) -> tuple[Floats, Floats, Floats]:
    """By size: how many coalitions, their mean, and its squared standard error; infinite where one of several is."""
    count = np.bincount(size, minlength=n).astype(np.float64)
    mean = np.bincount(size, weights=worth, minlength=n) / np.maximum(count, 1)
    off = np.bincount(size, weights=(worth - mean[size]) ** 2, minlength=n)
    there = np.array([comb(n - 1, s) for s in range(n)], dtype=np.float64)
    variance = np.divide(off, count - 1, out=np.full(n, np.inf), where=count > 1)
    left_out = np.maximum(1 - count / there, 0.0)
    error = np.where(left_out > 0, variance / np.maximum(count, 1) * np.maximum(left_out, 1e-300), 0.0)
    return count, mean, error


def _pairs(every: Bools, worth: Floats, contributor: int) -> tuple[np.ndarray, Floats]:
    """Sizes of the coalitions without the contributor that were evaluated with it too, and the differences."""
    inside = every[:, contributor]
    place = {mask.tobytes(): at for at, mask in zip(np.flatnonzero(~inside), every[~inside], strict=True)}
    rest = every[inside].copy()
    rest[:, contributor] = False
    found = [(at, place.get(mask.tobytes())) for at, mask in zip(np.flatnonzero(inside), rest, strict=True)]
    both = np.array([(with_, out) for with_, out in found if out is not None], dtype=np.int64).reshape(-1, 2)
    return every[both[:, 1]].sum(axis=1), worth[both[:, 0]] - worth[both[:, 1]]
