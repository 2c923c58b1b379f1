"""Which coalitions are most worth retraining. Pure: nothing is read or written.

Half-size ones, since a correction learnt on others was seen to do badly; in complementary pairs, so that every
contributor is trained on as often as left out; and pair by pair the one that tells most about who is in, which is what
the difference between retraining and a proxy is regressed on. Rows are not counted: shares of them are most extreme
where few are left to train on, and such coalitions are no use.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from surrogateshap.games.encoded import Bools, Floats

_LISTED = 512
"""Pairs that are all looked at; of more, as many as `_DRAWN` are drawn at random for every choice."""
_DRAWN = 256
_KNOWN = 1.0
"""What is known of a contributor before any training, in coalitions' worth."""
_UNKNOWN = 1e-2
"""The same of the difference between contributors that the prompt proxy can't tell apart."""


def half_size_coalitions(n: int) -> int:
    """How many coalitions of n contributors have n/2 members, or (n ± 1)/2 where n is odd; never ∅ or N."""
    if n < 2:
        return 0
    return math.comb(n, n // 2) * (1 if n % 2 == 0 else 2)


def choose_coalitions(n: int, count: int, seed: int, alike: Sequence[Sequence[int]] = ()) -> Bools:
    """`count` distinct half-size coalitions (count, n), each second one the complement of the one before.

    `alike` are sets of contributors that the proxy can't tell apart. A greedy Bayesian D-optimal design (Chaloner &
    Verdinelli 1995, section 2.2): each pair adds most to the determinant of the information on the coefficients of a
    regression on membership. What the proxy can't see counts as unknown beforehand, so those contributors are parted
    the more often. A seeded prefix: fewer coalitions are the first rows of more. Raises ValueError where there are not
    so many.
    """
    if count > half_size_coalitions(n):
        raise ValueError(f"{n} contributors have {half_size_coalitions(n)} half-size coalitions, not {count}")
    pairs: list[Bools] = []
    seen: set[bytes] = set()
    told = np.zeros((0, n + 1))
    listed = half_size_coalitions(n) <= 2 * _LISTED
    for turn in itertools.count():
        if 2 * len(pairs) >= count:
            break
        drawn = _all_pairs(n, seed) if listed else _draw_pairs(n, seed, turn)
        candidates = drawn[[_key(mask) not in seen for mask in drawn]]
        if len(candidates) == 0:  # few are left, and none of them was drawn
            continue
        features = np.stack([_features(side, alike) for side in (candidates, ~candidates)], axis=1)
        best = int(np.argmax(_gains(features, told)))
        told = np.vstack([told, features[best]])
        pairs.append(candidates[best])
        seen.add(_key(candidates[best]))
    masks = np.array([side for mask in pairs for side in (mask, ~mask)], dtype=np.bool_)
    return masks.reshape(-1, n)[:count]


def _key(mask: Bools) -> bytes:
    """The same for a coalition and its complement."""
    return bytes(np.packbits(mask if mask[0] else ~mask))


def _all_pairs(n: int, seed: int) -> Bools:
    """Every pair, by one of its coalitions, in a seeded order: (C, n)."""
    chosen = [members for members in itertools.combinations(range(n), n // 2) if n % 2 or members[0] == 0]
    masks = np.zeros((len(chosen), n), dtype=np.bool_)
    masks[np.arange(len(chosen))[:, None], np.array(chosen)] = True
    return np.random.default_rng(seed).permutation(masks)


def _draw_pairs(n: int, seed: int, turn: int) -> Bools:
    """Random pairs, by one of their coalitions: (C, n)."""
    place = np.random.default_rng([seed, turn]).random((_DRAWN, n)).argsort(axis=1).argsort(axis=1)
    return np.asarray(place < n // 2)


def _features(masks: Bools, alike: Sequence[Sequence[int]]) -> Floats:
    """(M, n + 1): a constant and membership, -1 and 1, both scaled so that the prior's covariance is the identity."""
    levels = 2.0 * masks - 1
    scaled = levels / math.sqrt(_KNOWN)
    for group in alike:
        held = levels[:, list(group)]
        apart = held - held.mean(axis=1, keepdims=True)
        scaled[:, list(group)] += apart * (1 / math.sqrt(_UNKNOWN) - 1 / math.sqrt(_KNOWN))
    return np.hstack([np.full((len(masks), 1), 1 / math.sqrt(_UNKNOWN)), scaled])


def _gains(features: Floats, told: Floats) -> Floats:
    """What each pair's features (C, 2, p) add to the log determinant of the information that `told` (m, p) gives.

    By the matrix determinant lemma; through whichever of the m × m and p × p matrices is the smaller.
    """
    pairs, _, p = features.shape
    if len(told) < p:
        across = features @ told.T
        known = np.linalg.solve(np.eye(len(told)) + told @ told.T, across.reshape(2 * pairs, len(told)).T).T
        within = features @ features.transpose(0, 2, 1) - across @ known.reshape(across.shape).transpose(0, 2, 1)
    else:
        known = np.linalg.solve(np.eye(p) + told.T @ told, features.reshape(2 * pairs, p).T).T
        within = features @ known.reshape(pairs, 2, p).transpose(0, 2, 1)
    return np.asarray(np.linalg.slogdet(np.eye(2) + within)[1])
