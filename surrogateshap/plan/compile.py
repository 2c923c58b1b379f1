"""A checked spec, resolved to what will be generated, encoded and estimated. Pure: nothing is written or loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from surrogateshap.errors import SpecError
from surrogateshap.events import GameInfo
from surrogateshap.plan import keys
from surrogateshap.plan.check import (
    FRESH_COALITIONS,
    IMAGES_PER_COALITION,
    Checked,
    EncoderInput,
    Reference,
    check_spec,
)
from surrogateshap.plan.manifest import Grouping, Manifest
from surrogateshap.plan.pool import Pool, PoolRequest, build_fresh_pool, build_pool
from surrogateshap.spec.model import Spec, UtilitySection
from surrogateshap.text import harmless

EXACT_BY_DEFAULT = 14
COALITIONS = 4_000
FEW_IMAGES = 40
"""Below this the image proxy's ranking was seen to lose much of its agreement with retraining."""

Estimator = Literal["exact", "surrogate"]


@dataclass(frozen=True)
class GameDesign:
    """One game, with everything that its values depend on besides pixels."""

    info: GameInfo
    grouping: Grouping
    pool: Pool
    utility: UtilitySection
    position: int
    """Among the spec's utilities."""
    encoder: EncoderInput
    reference: Reference | None
    estimator: Estimator
    coalitions: int
    """Evaluated, the grand one included."""
    empty_value: float | None
    indistinguishable: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Compiled:
    """Everything the executor needs, and the planner shows."""

    checked: Checked
    plan_id: str
    pools: tuple[Pool, ...]
    games: tuple[GameDesign, ...]
    warnings: tuple[str, ...]

    @property
    def spec(self) -> Spec:
        """The spec as resolved."""
        return self.checked.loaded.spec

    @property
    def run(self) -> str:
        """Name of the run that this plan makes."""
        return f"{self.spec.name}-{self.plan_id[:10]}"


def compile_spec(path: Path, allow: Sequence[Path] = ()) -> Compiled:
    """Reads, checks and resolves a spec. Raises SpecError with every problem of it and of its inputs."""
    checked = check_spec(path, allow)
    pools = _pools(checked)
    games = tuple(_games(checked, pools))
    digests = {file.role: file.digest for file in checked.inputs if file.role != "spec"}
    return Compiled(
        checked=checked,
        plan_id=keys.plan(checked.loaded.spec, digests),
        pools=pools,
        games=games,
        warnings=tuple(_warnings(checked, games)),
    )


def _pools(checked: Checked) -> tuple[Pool, ...]:
    spec, manifest, model = checked.loaded.spec, checked.manifest, checked.digest("model")
    fresh = spec.sampling.mode == "fresh"
    per_coalition = spec.budget.images_per_coalition or IMAGES_PER_COALITION
    images = per_coalition if fresh else checked.images
    unconditional = per_coalition if fresh else max(32, images // len(manifest.groupings[0].contributors))
    pools = []
    try:
        for proxy in checked.proxies:
            request = PoolRequest(
                proxy=proxy,
                seed=spec.seed,
                images=images,
                unconditional=unconditional if spec.empty.kind == "unconditional" else 0,
                generation=keys.generation(spec, model, proxy),
                unconditional_generation=keys.generation(spec, model, "prompt"),
            )
            if fresh:
                coalitions = spec.budget.coalitions or FRESH_COALITIONS
                pools += [build_fresh_pool(request, manifest, group, coalitions) for group in manifest.groupings]
            else:
                pools.append(build_pool(request, manifest))
    except OSError as error:
        key = ("contributors", "image")
        raise SpecError([checked.loaded.problem(key, str(error), "Write the manifest again.")]) from None
    _check_coverage(checked, pools)
    return tuple(pools)


def _check_coverage(checked: Checked, pools: list[Pool]) -> None:
    """Raises SpecError where a contributor of some grouping is left without images."""
    budget = "images" if checked.loaded.spec.budget.images is not None else "images_per_contributor"
    problems = []
    for position, grouping in enumerate(checked.manifest.groupings):
        for pool in pools:
            if grouping.name not in pool.memberships:
                continue
            bare = [grouping.contributors[i] for i in np.flatnonzero(pool.images_of(grouping.name) == 0)]
            if bare:
                listed = ", ".join(harmless(name, 40) for name in bare[:5]) + (" …" if len(bare) > 5 else "")
                message = f"{len(bare)} contributors get no image of the {pool.proxy} proxy's pool: {listed}"
                remedy = f"Raise `{budget}`, or pool small contributors with `min_rows` and `other`."
                problems.append(checked.loaded.problem(("contributors", "grouping", position), message, remedy))
    if problems:
        raise SpecError(problems)


def _games(checked: Checked, pools: tuple[Pool, ...]) -> Iterator[GameDesign]:
    spec = checked.loaded.spec
    for pool in pools:
        for grouping in checked.manifest.groupings:
            if pool.grouping not in (None, grouping.name):
                continue
            estimator, coalitions = _estimator(spec, len(grouping.contributors))
            alike = indistinguishable(grouping, checked.manifest) if pool.proxy == "prompt" else ()
            for position, utility in enumerate(spec.utility):
                value = spec.empty.value
                yield GameDesign(
                    info=GameInfo(grouping=grouping.name, utility=utility.name, proxy=pool.proxy),
                    grouping=grouping,
                    pool=pool,
                    utility=utility,
                    position=position,
                    encoder=checked.encoder_of(utility),
                    reference=checked.references.get(utility.name),
                    estimator=estimator,
                    coalitions=coalitions,
                    empty_value=value[utility.name] if isinstance(value, dict) else value,
                    indistinguishable=alike,
                )


def _estimator(spec: Spec, n: int) -> tuple[Estimator, int]:
    """Which estimator a grouping of n contributors gets, and how many coalitions it evaluates."""
    kind, asked = spec.estimator.kind, spec.budget.coalitions
    fresh = spec.sampling.mode == "fresh"
    if not fresh and (kind == "exact" or (kind == "auto" and 2**n <= (asked or 2**EXACT_BY_DEFAULT))):
        return "exact", 2**n
    # Coalitions come in complementary pairs; the grand one is added to them.
    pairs = (asked or (FRESH_COALITIONS if fresh else COALITIONS)) // 2
    return "surrogate", 2 * pairs + 1 if n > 1 else 1


def _warnings(checked: Checked, games: tuple[GameDesign, ...]) -> Iterator[str]:
    if checked.anchors is not None:
        yield from checked.anchors.notes
    per_contributor = checked.images // len(checked.manifest.groupings[0].contributors)
    pooled = checked.loaded.spec.sampling.mode == "pool"
    if pooled and "image" in checked.proxies and per_contributor < FEW_IMAGES:
        yield (
            f"the image proxy has {per_contributor} images per contributor; below {FEW_IMAGES} its ranking is much "
            "less reliable"
        )
    for grouping, names in dict.fromkeys(
        (game.info.grouping, group) for game in games for group in game.indistinguishable
    ):
        listed = ", ".join(harmless(name, 40) for name in names)
        yield (
            f"the prompt proxy can't tell {listed} apart: same conditions in the same proportions (grouping "
            f"{grouping}); the image proxy can"
        )


def indistinguishable(grouping: Grouping, manifest: Manifest) -> tuple[tuple[str, ...], ...]:
    """Sets of contributors whose rows have the same conditions in the same proportions."""
    pairs, counts = np.unique(np.stack([grouping.of_row, manifest.condition_of_row]), axis=1, return_counts=True)
    bounds = np.searchsorted(pairs[0], np.arange(len(grouping.contributors) + 1))
    alike: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for contributor, name in enumerate(grouping.contributors):
        own = slice(bounds[contributor], bounds[contributor + 1])
        divisor = int(np.gcd.reduce(counts[own]))
        mix = (tuple(pairs[1][own].tolist()), tuple((counts[own] // divisor).tolist()))
        alike.setdefault(mix, []).append(name)
    return tuple(tuple(names) for names in alike.values() if len(names) > 1)
