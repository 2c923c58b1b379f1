"""A spec and the inputs that it names, resolved to what will be generated, encoded and estimated.

Pure: nothing is written and no model is loaded. All problems of the inputs come together with those of the spec.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from surrogateshap.errors import Problem, SpecError
from surrogateshap.events import GameInfo
from surrogateshap.plan import keys
from surrogateshap.plan.cards import ModelCard, class_index, read_classifier_labels, read_model_card
from surrogateshap.plan.inputs import input_file
from surrogateshap.plan.manifest import Grouping, Manifest, is_image_column, nearest, parquet_schema, read_manifest
from surrogateshap.plan.model import InputFile
from surrogateshap.plan.pool import Pool, PoolRequest, build_fresh_pool, build_pool
from surrogateshap.spec.load import Loaded, read_spec
from surrogateshap.spec.model import FrechetUtility, RateUtility, ScoreUtility, UtilitySection
from surrogateshap.spec.paths import PathRefused, resolve
from surrogateshap.text import harmless

EXACT_BY_DEFAULT = 14
EXACT_AT_MOST = 16
COALITIONS = 4_000
FRESH_COALITIONS = 300
IMAGES_PER_CONTRIBUTOR = 100
IMAGES_PER_COALITION = 256
FEW_IMAGES = 40
"""Below this the image proxy's ranking was seen to lose much of its agreement with retraining."""

Key = tuple[str | int, ...]
Estimator = Literal["exact", "surrogate"]
T = TypeVar("T")


@dataclass(frozen=True)
class EncoderInput:
    """An encoder's folder."""

    name: str
    path: Path
    digest: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """The images that a Fréchet distance is measured to: a Parquet file and its column."""

    path: Path
    digest: str
    column: str


@dataclass(frozen=True)
class GameDesign:
    """One game, with everything that its values depend on besides pixels."""

    info: GameInfo
    grouping: Grouping
    pool: Pool
    utility: UtilitySection
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

    loaded: Loaded
    plan_id: str
    inputs: tuple[InputFile, ...]
    card: ModelCard
    model_path: Path
    model_digest: str
    manifest: Manifest
    encoders: dict[str, EncoderInput]
    pools: tuple[Pool, ...]
    games: tuple[GameDesign, ...]
    warnings: tuple[str, ...]

    @property
    def run(self) -> str:
        """Name of the run that this plan makes."""
        return f"{self.loaded.spec.name}-{self.plan_id[:10]}"


def compile_spec(path: Path, allow: Sequence[Path] = ()) -> Compiled:
    """Reads a spec and its inputs. Raises SpecError with every problem of all of them."""
    loaded, problems = read_spec(path)
    if loaded is None:
        raise SpecError(problems)
    return _Compiler(loaded, allow, problems).compile()


class _Compiler:
    def __init__(self, loaded: Loaded, allow: Sequence[Path], problems: list[Problem]) -> None:
        self._loaded = loaded
        self._spec = loaded.spec
        self._allow = allow
        self._problems = list(problems)
        self._inputs = [InputFile(role="spec", name=loaded.file, digest=loaded.digest, bytes=len(loaded.text.encode()))]

    def compile(self) -> Compiled:
        spec = self._spec
        model_path, card = self._read(
            ("model", "source"), spec.model.source, "model", lambda path: read_model_card(path, spec.model.null_class)
        )
        encoders = dict(self._encoders())
        references = dict(self._references())
        manifest_path, _ = self._read(("contributors", "manifest"), spec.contributors.manifest, "manifest", Path)
        manifest = None
        if manifest_path is not None:
            manifest, found = read_manifest(self._loaded, manifest_path)
            self._problems += found
        if card is not None and manifest is not None:
            self._check_conditions(card, manifest, encoders)
        if manifest is not None:
            self._check_budget(manifest)
        if self._problems or card is None or manifest is None or model_path is None:
            raise SpecError(self._problems)
        model_digest = self._digest("model")
        pools = self._pools(manifest, model_digest)
        games = tuple(self._games(manifest, pools, encoders, references))
        return Compiled(
            loaded=self._loaded,
            plan_id=keys.plan(spec, {file.role: file.digest for file in self._inputs if file.role != "spec"}),
            inputs=tuple(self._inputs),
            card=card,
            model_path=model_path,
            model_digest=model_digest,
            manifest=manifest,
            encoders=encoders,
            pools=pools,
            games=games,
            warnings=tuple(self._warnings(manifest, pools, games)),
        )

    def _problem(self, key: Key, message: str, remedy: str = "") -> None:
        self._problems.append(self._loaded.problem(key, message, remedy))

    def _digest(self, role: str) -> str:
        return next(file.digest for file in self._inputs if file.role == role)

    def _read(self, key: Key, source: str, role: str, reader: Callable[[Path], T]) -> tuple[Path | None, T | None]:
        """Resolves, digests and reads one input; every way this fails becomes a problem at `key`."""
        try:
            path = resolve(source, self._loaded.folder, self._allow)
        except PathRefused as refused:
            self._problem(key, f"`{harmless(source)}`: {refused.message}", refused.remedy)
            return None, None
        shown = harmless(source)
        if not path.exists():
            self._problem(key, f"`{shown}` does not exist", f"Looked for it in {harmless(str(path.parent))}.")
            return None, None
        try:
            self._inputs.append(input_file(role, source, path))
            return path, reader(path)
        except OSError as error:
            self._problem(
                key, f"`{shown}` can't be read: {harmless(str(error))}", "Check the file and its permissions."
            )
        except ValueError as error:
            self._problem(key, f"`{shown}` {harmless(str(error))}")
        return path, None

    def _encoders(self) -> Iterator[tuple[str, EncoderInput]]:
        for position, section in enumerate(self._spec.encoder):
            role = f"encoder {section.name}"
            path, labels = self._read(("encoder", position, "source"), section.source, role, read_classifier_labels)
            if path is not None and labels is not None:
                yield section.name, EncoderInput(section.name, path, self._digest(role), labels)

    def _references(self) -> Iterator[tuple[str, Reference]]:
        """References that are files of their own; `manifest` is resolved with the games."""
        column = self._spec.contributors.image or "image"
        for at, utility in enumerate(self._spec.utility):
            if not isinstance(utility, FrechetUtility):
                continue
            key = ("utility", at, "reference")
            if utility.reference == "manifest":
                if self._spec.contributors.image is None:
                    self._problem(key, "the manifest has no images", "Name their column: `image` in `[contributors]`.")
                continue
            role = f"reference {utility.name}"
            path, schema = self._read(key, utility.reference, role, parquet_schema)
            if path is None or schema is None:
                continue
            if column not in schema or not is_image_column(schema[column]):
                message = f"`{harmless(utility.reference)}` has no column `{harmless(column)}` with images"
                self._problem(key, message, nearest(column, schema.names()))
            yield utility.name, Reference(path, self._digest(role), column)

    def _encoder_of(self, utility: UtilitySection, encoders: dict[str, EncoderInput]) -> EncoderInput | None:
        name = utility.encoder or (self._spec.encoder[0].name if self._spec.encoder else "")
        return encoders.get(name)

    def _check_conditions(self, card: ModelCard, manifest: Manifest, encoders: dict[str, EncoderInput]) -> None:
        unknown = [position for position, name in enumerate(manifest.conditions) if card.index(name) is None]
        if unknown:
            rows = np.isin(manifest.condition_of_row, unknown)
            first = manifest.groupings[0]
            owners = sorted({first.contributors[code] for code in np.unique(first.of_row[rows])})
            shown = ", ".join(harmless(manifest.conditions[position], 40) for position in unknown[:5])
            message = (
                f"the model doesn't know {shown}{' …' if len(unknown) > 5 else ''}: {int(rows.sum())} rows of "
                f"{', '.join(harmless(owner, 40) for owner in owners[:5])}{' …' if len(owners) > 5 else ''}"
            )
            known = ", ".join(harmless(label, 20) for label in card.labels[:12])
            more = " …" if len(card.labels) > 12 else ""
            self._problem(("contributors", "condition"), message, f"Its classes are {known}{more}.")
        for at, utility in enumerate(self._spec.utility):
            encoder = self._encoder_of(utility, encoders)
            if encoder is None:
                continue
            wanted: list[tuple[Key, str]] = []
            if isinstance(utility, RateUtility):
                wanted = [(("utility", at, "class"), str(utility.class_))]
            elif isinstance(utility, ScoreUtility) and utility.score == "condition":
                names = [card.labels[index] for name in manifest.conditions if (index := card.index(name)) is not None]
                wanted = [(("utility", at, "score"), name) for name in names]
            elif isinstance(utility, ScoreUtility) and not isinstance(utility.score, str):
                wanted = [(("utility", at, "score"), str(utility.score.class_))]
            missing = [(key, name) for key, name in wanted if class_index(name, encoder.labels) is None]
            if missing:
                listed = ", ".join(harmless(name, 40) for _, name in missing[:5])
                known = ", ".join(harmless(label, 20) for label in encoder.labels[:12])
                message = f"encoder `{encoder.name}` has no class {listed}"
                self._problem(missing[0][0], message, f"Its classes are {known}.")

    def _check_budget(self, manifest: Manifest) -> None:
        budget = self._spec.budget
        for position, grouping in enumerate(manifest.groupings):
            n = len(grouping.contributors)
            if self._spec.estimator.kind == "exact" and n > EXACT_AT_MOST:
                message = f"`exact` evaluates all 2^n coalitions, and grouping `{grouping.name}` has {n} contributors"
                self._problem(("estimator", "kind"), message, f'Up to {EXACT_AT_MOST}; take `kind = "surrogate"`.')
            if position == 0 and self._spec.sampling.mode == "pool":
                images = self._images(manifest)
                least = max(2 * n, 2 * len(manifest.conditions) if "prompt" in self._proxies(manifest) else 0)
                if images < least:
                    key = ("budget", "images" if budget.images is not None else "images_per_contributor")
                    what = f"{n} contributors with {len(manifest.conditions)} conditions"
                    message = f"{images} images are too few for {what}"
                    self._problem(key, message, f"At least {least} are needed; hundreds per contributor do well.")
        if self._spec.sampling.mode == "fresh" and self._spec.estimator.kind == "exact":
            message = "fresh images for every one of 2^n coalitions are not what anyone can pay for"
            self._problem(("estimator", "kind"), message, 'Take `mode = "pool"` or `kind = "surrogate"`.')

    def _images(self, manifest: Manifest) -> int:
        budget = self._spec.budget
        if budget.images is not None:
            return budget.images
        per_contributor = budget.images_per_contributor or IMAGES_PER_CONTRIBUTOR
        return per_contributor * len(manifest.groupings[0].contributors)

    def _proxies(self, manifest: Manifest) -> tuple[str, ...]:
        kind = self._spec.proxy.kind
        if isinstance(kind, tuple):
            return kind
        if kind != "auto":
            return (kind,)
        first = manifest.groupings[0]
        pairs = np.unique(np.stack([first.of_row, manifest.condition_of_row]), axis=1)
        shared = len(np.unique(pairs[1])) < pairs.shape[1]
        return ("image",) if manifest.image is not None and shared else ("prompt",)

    def _pools(self, manifest: Manifest, model_digest: str) -> tuple[Pool, ...]:
        spec = self._spec
        fresh = spec.sampling.mode == "fresh"
        per_coalition = spec.budget.images_per_coalition or IMAGES_PER_COALITION
        images = per_coalition if fresh else self._images(manifest)
        unconditional = per_coalition if fresh else max(32, images // len(manifest.groupings[0].contributors))
        pools = []
        try:
            for proxy in self._proxies(manifest):
                request = PoolRequest(
                    proxy=proxy,
                    seed=spec.seed,
                    images=images,
                    unconditional=unconditional if spec.empty.kind == "unconditional" else 0,
                    generation=keys.generation(spec, model_digest, proxy),
                    unconditional_generation=keys.generation(spec, model_digest, "prompt"),
                )
                if fresh:
                    coalitions = spec.budget.coalitions or FRESH_COALITIONS
                    pools += [build_fresh_pool(request, manifest, group, coalitions) for group in manifest.groupings]
                else:
                    pools.append(build_pool(request, manifest))
        except OSError as error:
            self._problem(("contributors", "image"), str(error), "Every row needs an image; fill them in.")
            raise SpecError(self._problems) from None
        return tuple(pools)

    def _games(
        self,
        manifest: Manifest,
        pools: tuple[Pool, ...],
        encoders: dict[str, EncoderInput],
        references: dict[str, Reference],
    ) -> Iterator[GameDesign]:
        spec = self._spec
        whole = Reference(manifest.path, self._digest("manifest"), manifest.image or "")
        for pool in pools:
            for grouping in manifest.groupings:
                if pool.grouping not in (None, grouping.name):
                    continue
                estimator, coalitions = self._estimator(len(grouping.contributors))
                alike = indistinguishable(grouping, manifest) if pool.proxy == "prompt" else ()
                for utility in spec.utility:
                    reference = None
                    if isinstance(utility, FrechetUtility):
                        reference = references.get(utility.name, whole)
                    encoder = self._encoder_of(utility, encoders)
                    if encoder is None:
                        raise SpecError([self._loaded.problem(("utility",), f"`{utility.name}` has no encoder")])
                    yield GameDesign(
                        info=GameInfo(grouping=grouping.name, utility=utility.name, proxy=pool.proxy),
                        grouping=grouping,
                        pool=pool,
                        utility=utility,
                        encoder=encoder,
                        reference=reference,
                        estimator=estimator,
                        coalitions=coalitions,
                        empty_value=self._empty_value(utility.name),
                        indistinguishable=alike,
                    )

    def _estimator(self, n: int) -> tuple[Estimator, int]:
        kind, asked = self._spec.estimator.kind, self._spec.budget.coalitions
        fresh = self._spec.sampling.mode == "fresh"
        if not fresh and (kind == "exact" or (kind == "auto" and 2**n <= (asked or 2**EXACT_BY_DEFAULT))):
            return "exact", 2**n
        # Coalitions come in complementary pairs; the grand one is added to them.
        pairs = (asked or (FRESH_COALITIONS if fresh else COALITIONS)) // 2
        return "surrogate", 2 * pairs + 1 if n > 1 else 1

    def _empty_value(self, utility: str) -> float | None:
        value = self._spec.empty.value
        return value[utility] if isinstance(value, dict) else value

    def _warnings(self, manifest: Manifest, pools: tuple[Pool, ...], games: tuple[GameDesign, ...]) -> Iterator[str]:
        if self._spec.sampling.mode == "pool":
            n = len(manifest.groupings[0].contributors)
            if any(pool.proxy == "image" for pool in pools) and self._images(manifest) < FEW_IMAGES * n:
                yield (
                    f"the image proxy has {self._images(manifest) // n} images per contributor; below {FEW_IMAGES} its "
                    "ranking is much less reliable"
                )
        seen = set()
        for game in games:
            for group in game.indistinguishable:
                if (game.info.grouping, group) not in seen:
                    seen.add((game.info.grouping, group))
                    names = ", ".join(harmless(name, 40) for name in group)
                    yield (
                        f"the prompt proxy can't tell {names} apart: same conditions in the same proportions "
                        f"(grouping {game.info.grouping}); the image proxy can"
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
