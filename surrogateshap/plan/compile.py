"""A checked spec, resolved to what will be generated, encoded and estimated. Pure: nothing is written or loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from surrogateshap.errors import SpecError
from surrogateshap.events import GameInfo
from surrogateshap.plan import keys
from surrogateshap.plan.check import (
    IMAGES_PER_COALITION,
    Checked,
    check_spec,
)
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.check_references import Head, Reference
from surrogateshap.plan.coalitions import Evaluation, bootstrap_seconds, choose, evaluation
from surrogateshap.plan.flags import FlagDesign, design_flags
from surrogateshap.plan.manifest import Grouping, Manifest
from surrogateshap.plan.pool import Pool, PoolRequest, build_fresh_pool, build_pool, own_rows
from surrogateshap.plan.sources import Sources
from surrogateshap.spec.model import EstimatorName, Spec
from surrogateshap.spec.utilities import OwnImageUtility, UtilitySection
from surrogateshap.text import harmless
from surrogateshap.units import duration

FEW_IMAGES = 40
"""Below this the image proxy's ranking was seen to lose much of its agreement with retraining."""
_LONG = 600.0
"""Seconds of a game's image bootstrap that the plan warns of."""


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
    second: EncoderInput | None
    """That sees an association's second attribute; None where the first one does."""
    reference: Reference | None
    head: Head | None
    estimator: EstimatorName
    coalitions: int
    """Evaluated: all of them where the estimator is exact, else those drawn, and N."""
    coalitions_because: str
    cost: Evaluation
    empty_value: float | None
    indistinguishable: tuple[tuple[str, ...], ...]

    @property
    def encoders(self) -> tuple[EncoderInput, ...]:
        """All that look at its pool."""
        return (self.encoder,) if self.second is None else (self.encoder, self.second)


@dataclass(frozen=True)
class Compiled:
    """Everything the executor needs, and the planner shows."""

    checked: Checked
    plan_id: str
    pools: tuple[Pool, ...]
    games: tuple[GameDesign, ...]
    warnings: tuple[str, ...]
    sources: Sources
    """Of the manifest's images, as far as somebody asked for them."""
    flags: FlagDesign | None = None
    """None where nobody asked for them."""

    @property
    def spec(self) -> Spec:
        """The spec as resolved."""
        return self.checked.loaded.spec

    @property
    def run(self) -> str:
        """Name of the run that this plan makes."""
        return f"{self.spec.name}-{self.plan_id[:10]}"

    def with_pools(self, pools: Sequence[Pool]) -> "Compiled":
        """The same with other pools in the place of those with their ids, in the games too."""
        by_id = {pool.id: pool for pool in pools}
        games = tuple(replace(game, pool=by_id.get(game.pool.id, game.pool)) for game in self.games)
        return replace(self, pools=tuple(by_id.get(pool.id, pool) for pool in self.pools), games=games)


def compile_spec(path: Path, allow: Sequence[Path] = ()) -> Compiled:
    """Reads, checks and resolves a spec. Raises SpecError with every problem of it and of its inputs."""
    checked = check_spec(path, allow)
    pools = _pools(checked)
    games = tuple(_games(checked, pools))
    sources = _sources(checked, pools)
    digests = {file.role: file.digest for file in checked.inputs if file.role != "spec"}
    return Compiled(
        checked=checked,
        plan_id=keys.plan(checked.loaded.spec, digests),
        pools=pools,
        games=games,
        warnings=tuple(_warnings(checked, games)),
        sources=sources,
        flags=_flags(checked) if checked.loaded.spec.flags.denoising_loss else None,
    )


def _sources(checked: Checked, pools: tuple[Pool, ...]) -> Sources:
    """With the training images that utilities compare with, where one does."""
    sources, spec = Sources(checked.manifest), checked.loaded.spec
    if any(isinstance(utility, OwnImageUtility) for utility in spec.utility):
        try:
            for pool in pools:
                rows = own_rows(pool, checked.manifest, spec.seed)
                sources.of(rows[rows >= 0])
        except OSError as error:
            key = ("contributors", "image")
            raise SpecError([checked.loaded.problem(key, str(error), "Write the manifest again.")]) from None
    return sources


def _flags(checked: Checked) -> FlagDesign:
    try:
        return design_flags(checked.loaded.spec, checked.manifest, checked.digest("model"))
    except OSError as error:
        key = ("contributors", "image")
        raise SpecError([checked.loaded.problem(key, str(error), "Write the manifest again.")]) from None


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
                for group in manifest.groupings:
                    chosen = choose(spec, len(group.contributors), Evaluation(0.0))
                    design = (chosen.estimator, chosen.coalitions - 1)
                    pools.append(build_fresh_pool(request, manifest, group, *design))
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
            alike = indistinguishable(grouping, checked.manifest) if pool.proxy == "prompt" else ()
            for position, utility in enumerate(spec.utility):
                value = spec.empty.value
                encoder, n = checked.encoder_of(utility), len(grouping.contributors)
                cost = evaluation(utility, n, len(pool.keys), encoder.features, len(encoder.labels))
                chosen = choose(spec, n, cost if pool.masks is None else Evaluation(0.0))
                yield GameDesign(
                    info=GameInfo(grouping=grouping.name, utility=utility.name, proxy=pool.proxy),
                    grouping=grouping,
                    pool=pool,
                    utility=utility,
                    position=position,
                    encoder=encoder,
                    second=checked.second_of(utility),
                    reference=checked.references.get(utility.name),
                    head=checked.heads.get(utility.name),
                    estimator=chosen.estimator,
                    coalitions=chosen.coalitions,
                    coalitions_because=chosen.because,
                    cost=cost,
                    empty_value=value[utility.name] if isinstance(value, dict) else value,
                    indistinguishable=alike,
                )


def _warnings(checked: Checked, games: tuple[GameDesign, ...]) -> Iterator[str]:
    for game in games:
        n, resamples = len(game.grouping.contributors), checked.loaded.spec.intervals.resamples
        seconds = bootstrap_seconds(n, resamples, game.cost)
        if game.pool.masks is None and seconds > _LONG:
            yield (
                f"the intervals of {game.info} take about {duration(seconds)}: one evaluation about "
                f"{duration(game.cost.seconds)}, {resamples} resampled pools; lower `intervals.resamples`"
            )
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
