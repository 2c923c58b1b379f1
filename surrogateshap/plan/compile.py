"""A checked spec, resolved to what will be generated, encoded and estimated. Pure: nothing is written or loaded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from surrogateshap.errors import Problem, SpecError
from surrogateshap.events import GameInfo
from surrogateshap.plan import keys
from surrogateshap.plan.backends import backend_problems
from surrogateshap.plan.check import (
    IMAGES_PER_COALITION,
    Checked,
    check_spec,
)
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.check_references import REFERENCE_AT_MOST, Head, Reference
from surrogateshap.plan.coalitions import Evaluation, bootstrap_seconds, choose, evaluation
from surrogateshap.plan.flags import FlagDesign, design_flags
from surrogateshap.plan.hub import Pins
from surrogateshap.plan.manifest import Grouping, Manifest, spread
from surrogateshap.plan.pool import Pool, PoolRequest, build_fresh_pool, build_pool, own_rows, sources_of
from surrogateshap.spec.model import EstimatorName, ExecutionSection, Spec
from surrogateshap.spec.utilities import ClipScoreUtility, ManifoldUtility, OwnImageUtility, UtilitySection
from surrogateshap.text import harmless
from surrogateshap.units import duration, size

FEW_IMAGES = 40
"""Below this the image proxy's ranking was seen to lose much of its agreement with retraining."""
_MANY_TEXTS = 50_000
"""Prompts whose encoding the plan warns of."""
_LARGE = 2 << 30
"""Bytes of one game's distances that the plan warns of."""
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
    flags: FlagDesign | None = None
    """None where nobody asked for them."""
    allowed_paths: tuple[Path, ...] = ()
    """Folders in which the spec may name files, beside its own."""
    allowed_plugins: tuple[str, ...] = ()

    @property
    def spec(self) -> Spec:
        """The spec as resolved."""
        return self.checked.loaded.spec

    @property
    def run(self) -> str:
        """Name of the run that this plan makes."""
        return f"{self.spec.name}-{self.plan_id[:10]}"

    def with_execution(self, changes: Mapping[str, object]) -> "Compiled":
        """The same, with other values of keys of [execution].

        Raises SpecError for values that these don't take, and for a backend that can't be had.
        """
        changed = self._with_execution(changes) if changes else self
        problems = [
            Problem(f"--{key}", 0, "", message, remedy)
            if key in changes
            else self.checked.loaded.problem(("execution", key), message, remedy)
            for key, message, remedy in backend_problems(changed.spec)
        ]
        if problems:
            raise SpecError(problems)
        return changed

    def _with_execution(self, changes: Mapping[str, object]) -> "Compiled":
        loaded = self.checked.loaded
        try:
            execution = ExecutionSection.model_validate({**loaded.spec.execution.model_dump(), **changes})
        except ValidationError as error:
            wrong = {str(one["loc"][0]) for one in error.errors()}
            remedies = {"devices": "Use auto, cpu, cuda or mps, or name devices, such as cuda:0,cuda:1."}
            problems = [
                Problem(f"--{key}", 0, "", f"`{harmless(_given(changes[key]))}` can't be used", remedies.get(key, ""))
                for key in wrong
            ]
            raise SpecError(problems) from None
        spec = loaded.spec.model_copy(update={"execution": execution})
        return replace(self, checked=replace(self.checked, loaded=replace(loaded, spec=spec)))

    def with_pools(self, pools: Sequence[Pool]) -> "Compiled":
        """The same with other pools in the place of those with their ids, in the games too."""
        by_id = {pool.id: pool for pool in pools}
        games = tuple(replace(game, pool=by_id.get(game.pool.id, game.pool)) for game in self.games)
        return replace(self, pools=tuple(by_id.get(pool.id, pool) for pool in self.pools), games=games)


def _given(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def compile_spec(
    path: Path, allow: Sequence[Path] = (), allow_plugins: Sequence[str] = (), *, pins: Pins | None = None
) -> Compiled:
    """Reads, checks and resolves a spec. Raises SpecError with every problem of it and of its inputs.

    `pins` are the commits of hub repositories that an earlier plan was made with.
    """
    checked = check_spec(path, allow, allow_plugins, pins=pins)
    pools = _pools(checked)
    flags = _flags(checked) if checked.loaded.spec.flags.denoising_loss else None
    checked = _with_image_files(checked, pools, flags)
    games = tuple(_games(checked, pools))
    digests = {file.role: file.digest for file in checked.inputs if file.role != "spec"}
    return Compiled(
        checked=checked,
        plan_id=keys.plan(checked.loaded.spec, digests),
        pools=pools,
        games=games,
        warnings=tuple(_warnings(checked, games)),
        flags=flags,
        allowed_paths=tuple(allow),
        allowed_plugins=tuple(allow_plugins),
    )


def _compared_rows(checked: Checked, pools: tuple[Pool, ...]) -> list[np.ndarray]:
    """Rows of training images that pools' images are compared with, where a utility does so."""
    manifest, spec = checked.manifest, checked.loaded.spec
    if not any(isinstance(utility, OwnImageUtility) for utility in spec.utility):
        return []
    rows = [own_rows(pool, manifest, spec.seed) for pool in pools]
    try:
        for each in rows:
            sources_of(manifest, each[each >= 0])
    except OSError as error:
        key = ("contributors", "image")
        raise SpecError([checked.loaded.problem(key, str(error), "Write the manifest again.")]) from None
    return [each[each >= 0] for each in rows]


def _with_image_files(checked: Checked, pools: tuple[Pool, ...], flags: FlagDesign | None) -> Checked:
    """With the training images that are used as an input of their own, where the manifest holds paths alone."""
    manifest, compared = checked.manifest, _compared_rows(checked, pools)
    if not manifest.image_files:
        return checked
    used = [pool.rows[pool.rows >= 0] for pool in pools] + ([flags.rows] if flags is not None else []) + compared
    if any(reference.manifest is not None for reference in checked.references.values()):
        used.append(spread(manifest.rows, REFERENCE_AT_MOST))
    rows = np.unique(np.concatenate(used))
    return replace(checked, inputs=(*checked.inputs, manifest.image_input(rows))) if len(rows) else checked


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
    adapters = [(adapter.digest, adapter.weight_name, adapter.scale) for adapter in checked.adapters]
    pools = []
    try:
        for proxy in checked.proxies:
            request = PoolRequest(
                proxy=proxy,
                seed=spec.seed,
                images=images,
                unconditional=unconditional if spec.empty.kind == "unconditional" else 0,
                generation=keys.generation(spec, model, proxy, adapters),
                unconditional_generation=keys.generation(spec, model, "prompt", adapters),
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
        if isinstance(game.utility, ManifoldUtility) and game.utility.kind == "recall":
            held = 4 * len(game.pool.keys) * (len(game.pool.keys) + REFERENCE_AT_MOST)
            if held > _LARGE:
                yield f"{game.info} keeps up to {size(held)} of distances in memory; lower the budget of images"
        if isinstance(game.utility, ClipScoreUtility) and len(checked.manifest.conditions) > _MANY_TEXTS:
            yield f"{game.info} encodes all {len(checked.manifest.conditions):,} prompts of the manifest, shown or not"
    for role, snapshot in checked.snapshots.items():
        if not snapshot.pinned:
            yield (
                f"{role}: not pinned: planned with `{harmless(snapshot.revision or 'main')}` of {snapshot.repository} "
                f'at commit {snapshot.commit}; write revision = "{snapshot.commit}"'
            )
    if checked.anchors is not None:
        yield from checked.anchors.notes
    first = checked.manifest.groupings[0].name
    for pool in {game.pool.id: game.pool for game in games if first in game.pool.memberships}.values():
        fewest = int(pool.images_of(first).min())
        if pool.proxy == "image" and fewest < FEW_IMAGES:
            yield (
                f"the image proxy has {fewest} images per contributor, where they are fewest; below {FEW_IMAGES} its "
                "ranking is much less reliable"
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
    conditions = len(manifest.conditions)
    codes, counts = np.unique(grouping.of_row * np.int64(conditions) + manifest.condition_of_row, return_counts=True)
    pairs = np.divmod(codes, conditions)
    bounds = np.searchsorted(pairs[0], np.arange(len(grouping.contributors) + 1))
    alike: dict[tuple[tuple[int, ...], tuple[int, ...]], list[str]] = {}
    for contributor, name in enumerate(grouping.contributors):
        own = slice(bounds[contributor], bounds[contributor + 1])
        divisor = int(np.gcd.reduce(counts[own]))
        mix = (tuple(pairs[1][own].tolist()), tuple((counts[own] // divisor).tolist()))
        alike.setdefault(mix, []).append(name)
    return tuple(tuple(names) for names in alike.values() if len(names) > 1)
