"""Which images a pool holds, how they are named, and what stays when something else changes."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from surrogateshap.games.coalitions import draw_pairs
from surrogateshap.games.membership import Membership
from surrogateshap.plan.compile import Compiled, compile_spec
from surrogateshap.plan.manifest import Grouping, Manifest
from surrogateshap.plan.pool import (
    UNCONDITIONAL,
    Pool,
    PoolRequest,
    build_fresh_pool,
    build_pool,
    fresh_masks,
)
from tests.tiny import OWNERS, Project, png, rows


def compiled(project: Project, changes: dict[str, Any] | None = None) -> Compiled:
    return compile_spec(project.spec(changes))


def pool_of(project: Project, proxy: str, changes: dict[str, Any] | None = None) -> Pool:
    (pool,) = compiled(project, {"proxy.kind": proxy} | (changes or {})).pools
    return pool


def held(pool: Pool, membership: Membership) -> np.ndarray:
    """Images that each contributor rests on."""
    weights = membership.weights().toarray()
    return np.asarray((weights > 0).sum(axis=1))


@pytest.mark.parametrize("proxy", ["prompt", "image"])
def test_weights_are_distributions_in_every_grouping(tiny: Project, proxy: str) -> None:
    pool = pool_of(tiny, proxy)
    assert set(pool.memberships) == {"owner", "region"}
    for membership in pool.memberships.values():
        weights = membership.weights().toarray()
        assert weights.shape == (len(membership.names), len(pool.keys))
        np.testing.assert_allclose(weights.sum(axis=1), 1)
        unconditional = pool.conditions == UNCONDITIONAL
        assert unconditional.sum() == 32
        assert not weights[:, unconditional].any()
        np.testing.assert_allclose(membership.empty_weights().toarray()[0, unconditional], 1 / 32)


def test_prompt_images_serve_whoever_has_their_condition(tiny: Project) -> None:
    pool = pool_of(tiny, "prompt")
    assert (pool.rows == -1).all()
    assert len(pool.keys) == 40 + 32
    weights = pool.memberships["owner"].weights().toarray()
    for number, owner in enumerate(OWNERS):
        for condition in range(4):
            there = rows().filter(pl.col("owner") == owner).get_column("label").sort().to_list()
            share = there.count(sorted(set(there))[condition]) / 12
            assert weights[number, pool.conditions == condition].sum() == pytest.approx(share)
    assert (weights[OWNERS.index("basil")] == weights[OWNERS.index("basil-copy")]).all()


def test_images_start_from_their_contributors_own_rows(tiny: Project) -> None:
    pool = pool_of(tiny, "image")
    manifest = compiled(tiny).checked.manifest
    weights = {name: membership.weights().toarray() for name, membership in pool.memberships.items()}
    for image, row in enumerate(pool.rows):
        if row >= 0:
            assert pool.conditions[image] == manifest.condition_of_row[row]
            for grouping in manifest.groupings:
                owners = np.flatnonzero(weights[grouping.name][:, image])
                assert owners.tolist() == [grouping.of_row[row]]
    assert held(pool, pool.memberships["owner"]).tolist() == [8] * 5
    assert len(np.unique(pool.rows[pool.rows >= 0])) == 40  # no row twice while there are others


def test_rows_are_used_again_when_there_are_too_few(tiny: Project) -> None:
    pool = pool_of(tiny, "image", {"budget.images_per_contributor": 30})
    used = np.bincount(pool.rows[pool.rows >= 0], minlength=60)
    assert used.sum() == 150
    assert used.min() >= 1
    assert len(set(pool.keys)) == len(pool.keys)


@pytest.mark.parametrize("proxy", ["prompt", "image"])
def test_replicates_come_first(tiny: Project, proxy: str) -> None:
    """Any beginning of the list covers all cells as evenly as it can."""
    pool = pool_of(tiny, proxy)
    cells = pool.cell_of_image
    total = np.bincount(cells)
    for beginning in range(len(cells)):
        counts = np.bincount(cells[:beginning], minlength=len(total))
        behind = counts < total
        if behind.any():
            assert counts.max() <= counts[behind].min() + 1


@pytest.mark.parametrize("proxy", ["prompt", "image"])
def test_a_larger_budget_keeps_every_image(tiny: Project, proxy: str) -> None:
    named: dict[str, tuple[Any, ...]] = {}
    for images in (8, 9, 13, 24, 50):
        pool = pool_of(tiny, proxy, {"budget.images_per_contributor": images})
        rows_, conditions, seeds = pool.rows.tolist(), pool.conditions.tolist(), pool.seeds.tolist()
        now = dict(zip(pool.keys, zip(rows_, conditions, seeds, strict=True), strict=True))
        assert named.items() <= now.items()
        named = now


def test_images_do_not_depend_on_other_contributors(tiny: Project) -> None:
    before = {proxy: pool_of(tiny, proxy) for proxy in ("prompt", "image")}
    more = rows().head(24).with_columns(owner=pl.lit("ember"), image=pl.lit(png(np.zeros((8, 8), np.uint8))))
    tiny.manifest(pl.concat([rows(), more]))
    after = {proxy: pool_of(tiny, proxy) for proxy in ("prompt", "image")}
    assert set(before["image"].keys) < set(after["image"].keys)
    seeds = dict(zip(after["prompt"].keys, after["prompt"].seeds.tolist(), strict=True))
    common = [
        (key, seed)
        for key, seed in zip(before["prompt"].keys, before["prompt"].seeds.tolist(), strict=True)
        if key in seeds
    ]
    assert len(common) > 50
    assert all(seeds[key] == seed for key, seed in common)


def test_another_seed_is_another_pool(tiny: Project) -> None:
    for proxy in ("prompt", "image"):
        one, other = pool_of(tiny, proxy), pool_of(tiny, proxy, {"seed": 4})
        assert set(one.keys).isdisjoint(other.keys)
        assert set(one.seeds.tolist()).isdisjoint(other.seeds.tolist())
    assert len(set(one.seeds.tolist())) == len(one.keys)


@pytest.mark.parametrize(
    ("change", "prompt", "image", "empty"),
    [
        ({"proxy.strength": 0.7}, True, False, True),
        ({"sampling.steps": 5}, False, False, False),
        ({"sampling.guidance_scale": 1.0}, False, False, False),
        ({"sampling.scheduler": "euler"}, False, False, False),
        ({"model": {"source": "model", "null_class": 4}}, False, False, False),
        ({"execution.batch_size": 4}, True, True, True),
        ({"intervals.level": 0.5}, True, True, True),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_an_image_depends_on(
    tiny: Project, change: dict[str, Any], prompt: bool, image: bool, empty: bool
) -> None:
    def keys(changes: dict[str, Any]) -> dict[str, set[str]]:
        pools = {pool.proxy: pool for pool in compiled(tiny, changes).pools}
        found = {
            proxy: {key for key, at in zip(pool.keys, pool.conditions, strict=True) if at != UNCONDITIONAL}
            for proxy, pool in pools.items()
        }
        return found | {"empty": set(pools["image"].keys) - found["image"]}

    before, after = keys({}), keys(change)
    assert [before[part] == after[part] for part in ("prompt", "image", "empty")] == [prompt, image, empty]


def test_both_proxies_share_the_unconditional_images(tiny: Project) -> None:
    prompt, image = compiled(tiny).pools
    assert len(set(prompt.keys) & set(image.keys)) == 32


def test_equal_rows_are_one_image(tiny: Project) -> None:
    """A copier's images under the same condition are the same images, made once and shared."""
    copied = rows().filter(pl.col("owner") == "amber").with_columns(owner=pl.lit("zed"))
    tiny.manifest(pl.concat([rows(), copied]))
    pool = pool_of(tiny, "image", {"budget.images_per_contributor": 12})
    weights = pool.memberships["owner"].weights().toarray()
    by_owner = [
        {key for key, weight in zip(pool.keys, weights[owner], strict=True) if weight} for owner in (0, len(OWNERS))
    ]
    assert by_owner[0] == by_owner[1]
    relabelled = copied.with_columns(label=pl.lit("three"))
    tiny.manifest(pl.concat([rows(), relabelled]))
    pool = pool_of(tiny, "image", {"budget.images_per_contributor": 12})
    weights = pool.memberships["owner"].weights().toarray()
    other = {key for key, weight in zip(pool.keys, weights[len(OWNERS)], strict=True) if weight}
    assert len(other & by_owner[0]) == 1  # the one row that was a three before


def test_no_unconditional_images_where_their_value_is_given(tiny: Project) -> None:
    pool = pool_of(tiny, "image", {"empty": {"kind": "value", "value": 0.0}})
    assert len(pool.keys) == 40
    assert (pool.conditions != UNCONDITIONAL).all()


def test_a_row_without_an_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pl.DataFrame({"image": [b"x", None, b"y", None]}).write_parquet(path)
    grouping = Grouping("g", ("a",), np.array([4]), np.zeros(4, np.int32))
    manifest = Manifest(path, ("0",), np.zeros(4, np.int32), (grouping,), "image")
    with pytest.raises(OSError, match="2 of the rows have no image, the first of them row 1"):
        build_pool(PoolRequest("image", 0, 4, 0, "g", "u"), manifest)


class TestFresh:
    def test_more_coalitions_extend_fewer(self) -> None:
        few, many = (fresh_masks(draw_pairs(6, pairs, 0), empty=True) for pairs in (5, 20))
        assert (many[: len(few)] == few).all()
        assert len(np.unique(many, axis=0)) == len(many)
        assert many[0].all()
        assert not many[1].any()
        assert not (fresh_masks(draw_pairs(6, 20, 0), empty=False).sum(axis=1) == 0).any()

    @pytest.mark.parametrize("proxy", ["prompt", "image"])
    def test_every_coalition_has_images_of_its_own_rows(self, tiny: Project, proxy: str) -> None:
        pools = compiled(
            tiny,
            {
                "proxy.kind": proxy,
                "sampling.mode": "fresh",
                "budget": {"images_per_coalition": 7, "coalitions": 12},
            },
        ).pools
        manifest = compiled(tiny).checked.manifest
        assert [pool.grouping for pool in pools] == ["owner", "region"]
        for pool, grouping in zip(pools, manifest.groupings, strict=True):
            assert pool.masks is not None
            assert np.bincount(pool.cell_of_image).tolist() == [7] * len(pool.masks)
            for image, cell in enumerate(pool.cell_of_image):
                mask = pool.masks[cell]
                if not mask.any():
                    assert pool.conditions[image] == UNCONDITIONAL
                elif proxy == "image":
                    assert mask[grouping.of_row[pool.rows[image]]]
                else:
                    members = mask[grouping.of_row]
                    assert pool.conditions[image] in manifest.condition_of_row[members]
                    assert pool.rows[image] == -1
            assert len(set(pool.keys)) == len(pool.keys)

    def test_a_larger_design_keeps_every_image(self, tiny: Project) -> None:
        manifest = compiled(tiny).checked.manifest

        def keys(coalitions: int) -> tuple[str, ...]:
            request = PoolRequest("prompt", 0, 5, 5, "g", "u")
            return build_fresh_pool(request, manifest, manifest.groupings[0], "surrogate", coalitions).keys

        assert keys(20)[: len(keys(8))] == keys(8)
