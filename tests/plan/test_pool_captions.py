"""Pools of more conditions than images: captions that hardly anybody shares."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogateshap.plan.cells import draw_rows, even_counts
from surrogateshap.plan.manifest import Grouping, Manifest
from surrogateshap.plan.pool import UNCONDITIONAL, Pool, PoolRequest, build_anchor_pool, build_pool


def manifest_of(sizes: list[int], shared: int = 0, seed: int = 0) -> Manifest:
    """Contributors of so many rows in a shuffled order, each row with a caption of its own but for `shared` ones."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int32)
    caption = np.arange(len(owner), dtype=np.int32)
    if shared:
        caption[rng.choice(len(owner), shared, replace=False)] = 0
        caption = np.unique(caption, return_inverse=True)[1].astype(np.int32)
    region = (owner % 2).astype(np.int32)
    groupings = tuple(
        Grouping(name, tuple(f"{name} {at}" for at in range(code.max() + 1)), np.bincount(code), code)
        for name, code in (("artist", owner), ("region", region))
    )
    captions = tuple(f"caption {at:06d}" for at in range(caption.max() + 1))
    return Manifest(Path("none.parquet"), captions, caption, groupings, None)


def request(images: int, seed: int = 0) -> PoolRequest:
    return PoolRequest("prompt", seed, images, 8, "model", "model")


SIZES = [1, 2, 3, 10, 40, 200]


@pytest.mark.parametrize("shared", [0, 30])
@pytest.mark.parametrize("images", [12, 13, 40, 100, 255])
def test_as_many_images_as_asked_for_spread_over_contributors(images: int, shared: int) -> None:
    manifest = manifest_of(SIZES, shared)
    pool = build_pool(request(images), manifest)
    shown = pool.conditions != UNCONDITIONAL
    assert shown.sum() == images
    held = pool.images_of("artist")
    even = images // len(SIZES)
    for size, images_ in zip(SIZES, held.tolist(), strict=True):
        assert images_ >= min(max(2, size), even)
    for number, owner in enumerate(manifest.groupings[0].contributors):
        weights = pool.memberships["artist"].weights().toarray()[number]
        captions = set(manifest.condition_of_row[manifest.groupings[0].of_row == number].tolist())
        assert set(pool.conditions[weights > 0].tolist()) <= captions, owner
        np.testing.assert_allclose(weights.sum(), 1)
        if len(captions) > 1 and not shared:
            assert len(set(pool.conditions[weights > 0].tolist())) >= 2


def test_a_larger_budget_keeps_every_image() -> None:
    manifest, before = manifest_of(SIZES, 30), set()
    for images in (12, 13, 50, 200, 400, 2 * len(manifest_of(SIZES, 30).conditions), 700):
        now = set(build_pool(request(images), manifest).keys)
        assert before <= now
        before = now


def test_captions_are_chosen_by_the_seed_and_not_by_their_names() -> None:
    manifest = manifest_of(SIZES)
    pools = [build_pool(request(30, seed), manifest) for seed in (0, 0, 1)]
    chosen = [pool.conditions[pool.conditions != UNCONDITIONAL] for pool in pools]
    assert chosen[0].tolist() == chosen[1].tolist()
    assert set(chosen[0].tolist()) != set(chosen[2].tolist())
    largest = manifest.condition_of_row[manifest.groupings[0].of_row == len(SIZES) - 1]
    place = np.searchsorted(np.sort(largest), np.intersect1d(chosen[0], largest))
    assert 20 < place.mean() < 180


def test_rows_added_later_leave_the_choice_alone() -> None:
    before = manifest_of(SIZES)
    first = before.groupings[0]
    more = np.append(first.of_row, np.full(5, 5, np.int32))
    grouping = Grouping("artist", first.contributors, np.bincount(more), more)
    captions = (*before.conditions, *(f"later {at}" for at in range(5)))
    condition = np.arange(len(more), dtype=np.int32)
    after = Manifest(before.path, captions, condition, (grouping,), None)
    one, other = (set(build_pool(request(60), manifest).keys) for manifest in (before, after))
    assert len(one & other) >= len(one) - 2


def worth(manifest: Manifest, seed: int = 3) -> np.ndarray:
    """What an image of each caption is worth."""
    return np.random.default_rng(seed).normal(size=len(manifest.conditions)) ** 2


def means(manifest: Manifest, pool: Pool, grouping: str, values: np.ndarray) -> np.ndarray:
    """Mean worth of each contributor's images, which are as their captions say."""
    images = np.append(values, 0.0)[pool.conditions]
    return np.asarray(pool.memberships[grouping].weights() @ images)


@pytest.mark.parametrize("grouping", ["artist", "region"])
def test_the_drawn_stand_for_all_without_bias(grouping: str) -> None:
    """Also where captions are shared unevenly, and in groupings that the draw was not made for."""
    manifest = manifest_of([3, 10, 40, 200], shared=90)
    values = worth(manifest)
    values[0] = 5.0
    truth = np.array(
        [
            values[manifest.condition_of_row[group.of_row == number]].mean()
            for group in manifest.groupings
            if group.name == grouping
            for number in range(len(group.contributors))
        ]
    )
    draws = np.array(
        [means(manifest, build_pool(request(40, seed), manifest), grouping, values) for seed in range(400)]
    )
    error = np.abs(draws.mean(axis=0) - truth) / np.maximum(draws.std(axis=0) / 20, 1e-12)
    exact = np.abs(draws.mean(axis=0) - truth) < 1e-9
    assert (exact | (error < 4)).all()


def test_which_captions_were_drawn_is_in_the_intervals() -> None:
    """The bootstrap's spread is that of pools drawn anew, not zero as within single images."""
    manifest = manifest_of([200, 300])
    values = worth(manifest)
    draws = np.array(
        [means(manifest, build_pool(request(60, seed), manifest), "artist", values) for seed in range(300)]
    )
    spreads = []
    for seed in range(20):
        pool = build_pool(request(60, seed), manifest)
        membership, images = pool.memberships["artist"], np.append(values, 0.0)[pool.conditions]
        rng = np.random.default_rng(seed)
        moved = [np.asarray(membership.weights(membership.resample(rng)) @ images) for _ in range(100)]
        spreads.append(np.std(moved, axis=0))
    np.testing.assert_allclose(np.mean(spreads, axis=0), draws.std(axis=0), rtol=0.25)


def test_image_proxy_draws_captions_at_random_too() -> None:
    manifest = manifest_of([300, 400])
    counts = even_counts(manifest, "image", 40, 0, seed=0)[:-1]
    assert counts.max() == 1
    assert counts.sum() == 40
    cells = np.flatnonzero(counts[:300])
    assert 60 < cells.mean() < 240
    assert (even_counts(manifest, "image", 90, 0, seed=0)[:-1] >= counts).all()


def test_a_draw_that_takes_every_row_is_exact() -> None:
    manifest = manifest_of([3, 4], shared=3)
    draw = draw_rows(manifest, 2 * len(manifest.conditions) - 1, 0, 0)
    assert (draw.weights == 1).all()
    assert draw.counts[:-1].max() <= 2


def test_an_anchors_captions_are_drawn_at_random() -> None:
    manifest = manifest_of([300, 400])
    rows = np.flatnonzero(manifest.groupings[0].of_row == 1)
    pool = build_anchor_pool(request(50), manifest, rows)
    assert len(pool.keys) == 50
    assert set(pool.conditions.tolist()) <= set(manifest.condition_of_row[rows].tolist())
    place = np.searchsorted(np.sort(manifest.condition_of_row[rows]), np.sort(pool.conditions))
    assert 100 < place.mean() < 300
    few = replace(request(50), images=20)
    assert set(build_anchor_pool(few, manifest, rows).keys) < set(pool.keys)
