"""A spec and the inputs that it names, read and checked: all problems of both come together.

Nothing is generated, loaded or written. `validate` ends here, so this must stay quick to import.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np

from surrogateshap.errors import Problem, SpecError
from surrogateshap.plan.adapters import adapter_file
from surrogateshap.plan.anchors import Anchors, read_anchors
from surrogateshap.plan.cards import ModelCard, read_model_card
from surrogateshap.plan.cells import shows_all
from surrogateshap.plan.coalitions import Evaluation, choose
from surrogateshap.plan.configs import class_index
from surrogateshap.plan.encoders import read_classifier_labels, read_feature_size
from surrogateshap.plan.files import Layout
from surrogateshap.plan.hub import HubError, Pins, Snapshot, open_snapshot
from surrogateshap.plan.inputs import input_file, plugin_inputs
from surrogateshap.plan.manifest import (
    Grouping,
    Manifest,
    count_images,
    is_image_column,
    load_manifest,
    nearest,
    parquet_schema,
)
from surrogateshap.plan.model import InputFile
from surrogateshap.plugins import Plugin, PluginKind, PluginRefused, find_plugin
from surrogateshap.spec.load import Loaded, read_spec
from surrogateshap.spec.model import AdapterSection, EncoderSection, ModelSection
from surrogateshap.spec.paths import PathRefused, hub_id, resolve
from surrogateshap.spec.utilities import PluginUtility, RateUtility, ScoreUtility, UtilitySection, WithReference
from surrogateshap.text import digest, harmless

EXACT_AT_MOST = 16
IMAGES_PER_CONTRIBUTOR = 100
IMAGES_PER_COALITION = 256
FLOW_SCHEDULERS = ("model", "euler", "dpmsolver++", "unipc")
"""By which models of flow matching are sampled."""
UNSCALED = ("euler", "euler_a", "heun")
"""Schedulers whose first noise a pipeline has to scale, which diffusers' DiTPipeline doesn't."""
FLOW_IMAGE_SCHEDULERS = ("model", "euler")
"""The same where they start from images: the others can't noise one."""
PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What a denoiser may predict for its losses to be known, by diffusers' names."""
REFERENCE_AT_MOST = 10_000
"""Images of a reference that are encoded; of a larger one, as many evenly spaced rows."""
MOST_IMAGES = 5_000_000
"""Of one pool; the list of them alone takes gigabytes beyond that."""

Key = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class EncoderInput:
    """An encoder's folder."""

    name: str
    position: int
    """Among the spec's encoders."""
    path: Path
    digest: str
    labels: tuple[str, ...]
    features: int | None
    """Length of its feature vectors; None where its config doesn't say."""


@dataclass(frozen=True)
class AdapterInput:
    """A LoRA adapter's file."""

    path: Path
    digest: str
    """Of the whole source."""
    weight_name: str | None
    """As the spec has it."""
    scale: float


@dataclass(frozen=True)
class Reference:
    """The images that a Fréchet distance is measured to: a Parquet file and its column."""

    path: Path
    digest: str
    column: str
    manifest: Manifest | None = None
    """Where it is the manifest's own images."""


@dataclass(frozen=True)
class Checked:
    """A spec without problems, and what its inputs say."""

    loaded: Loaded
    inputs: tuple[InputFile, ...]
    card: ModelCard
    model_path: Path
    manifest: Manifest
    encoders: dict[str, EncoderInput]
    references: dict[str, Reference]
    """By utility; the manifest's own images for those that name no file."""
    proxies: tuple[str, ...]
    images: int
    """Pool images of all contributors together, per proxy."""
    adapters: tuple[AdapterInput, ...] = ()
    """On top of the model, in the spec's order."""
    anchors: Anchors | None = None
    """Of the grouping that `anchored` names; None where the spec names no table."""
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    """What comes from the hub, by role. Its weights are downloaded when they are first needed."""

    def digest(self, role: str) -> str:
        """Of one input."""
        return next(file.digest for file in self.inputs if file.role == role)

    @property
    def anchored(self) -> Grouping:
        """The grouping whose contributors anchors name."""
        name = self.loaded.spec.fidelity.grouping
        return next(group for group in self.manifest.groupings if name in (None, group.name))

    def encoder_of(self, utility: UtilitySection) -> EncoderInput:
        """The encoder that a utility looks through."""
        return self.encoders[utility.encoder or self.loaded.spec.encoder[0].name]


def check_spec(
    path: Path, allow: Sequence[Path] = (), allow_plugins: Sequence[str] = (), *, pins: Pins | None = None
) -> Checked:
    """Reads a spec and its inputs, repositories of the hub at the commits in `pins`, where they are.

    Raises SpecError with every problem of all of them.
    """
    loaded, problems = read_spec(path)
    if loaded is None:
        raise SpecError(problems)
    return _Checker(loaded, allow, allow_plugins, problems, pins or {}).check()


class _Checker:
    def __init__(
        self,
        loaded: Loaded,
        allow: Sequence[Path],
        allow_plugins: Sequence[str],
        problems: list[Problem],
        pins: Pins,
    ) -> None:
        self._loaded = loaded
        self._spec = loaded.spec
        self._allow = allow
        self._allow_plugins = allow_plugins
        self._problems = list(problems)
        self._found_plugins: dict[tuple[PluginKind, str], Plugin] = {}
        self._pins = pins
        self._snapshots: dict[str, Snapshot] = {}
        self._inputs = [InputFile(role="spec", name=loaded.file, digest=loaded.digest, bytes=len(loaded.text.encode()))]

    def check(self) -> Checked:
        spec = self._spec
        model_path, card = self._read_weights(
            ("model",),
            spec.model,
            "model",
            "pipeline",
            lambda path, listing: read_model_card(path, spec.model, spec.sampling, listing),
        )
        self._plugins()
        adapters = tuple(self._adapters())
        encoders = dict(self._encoders())
        references = dict(self._references())
        manifest, found = load_manifest(self._loaded, self._allow)
        self._problems += found
        self._inputs += manifest.inputs if manifest is not None else ()
        if card is not None:
            self._check_model(card)
        if card is not None and manifest is not None:
            self._check_conditions(card, manifest, encoders)
        anchors = self._anchors(manifest) if spec.fidelity.anchors is not None else None
        proxies: tuple[str, ...] = ()
        images = 0
        if manifest is not None:
            proxies, images = self._proxies(manifest, card), self._images(manifest)
            self._check_budget(manifest, proxies, images)
        if self._problems or card is None or manifest is None or model_path is None:
            raise SpecError(self._problems)
        for utility in spec.utility:
            if isinstance(utility, WithReference) and utility.reference == "manifest":
                references[utility.name] = self._whole(manifest)
        return Checked(
            loaded=self._loaded,
            inputs=tuple(self._inputs),
            card=card,
            model_path=model_path,
            manifest=manifest,
            encoders=encoders,
            references=references,
            proxies=proxies,
            images=images,
            adapters=adapters,
            anchors=anchors,
            snapshots=self._snapshots,
        )

    def _anchors(self, manifest: Manifest | None) -> Anchors | None:
        """The table of anchors; what is wrong with it is told at the key that names it."""
        section, key = self._spec.fidelity, ("fidelity", "anchors")
        path, _ = self._read(key, section.anchors or "", "anchors", Path)
        if path is None or manifest is None:
            return None
        grouping = next((group for group in manifest.groupings if section.grouping in (None, group.name)), None)
        if grouping is None:  # told elsewhere
            return None
        try:
            return read_anchors(path, grouping.contributors, [utility.name for utility in self._spec.utility])
        except SpecError as error:
            for found in error.problems:
                column = f"{found.key}: " if found.key else ""
                shown = f"`{harmless(section.anchors or '')}`"
                self._problem(key, f"{shown}: {column}{found.message}", found.remedy)
        return None

    def _whole(self, manifest: Manifest) -> Reference:
        """The manifest's own images as a reference. Raises SpecError where their files can't be read."""
        try:
            content = manifest.reference_digest(REFERENCE_AT_MOST)
        except OSError as error:
            self._problem(("contributors", "image"), str(error), "Put the file there, or leave its row out.")
            raise SpecError(self._problems) from None
        return Reference(manifest.path, content, manifest.image or "", manifest)

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

    def _adapters(self) -> Iterator[AdapterInput]:
        for position, section in enumerate(self._spec.model.adapters):
            role, name = f"adapter {position}", section.weight_name

            def reader(path: Path, listing: frozenset[str] | None, name: str | None = name) -> Path:
                return adapter_file(path, name, listing)

            path, file = self._read_weights(("model", "adapters", position), section, role, "adapter", reader)
            if path is not None and file is not None:
                yield AdapterInput(file, self._digest(role), name, section.scale)

    def _read_weights(
        self,
        key: Key,
        section: ModelSection | AdapterSection | EncoderSection,
        role: str,
        layout: Layout,
        reader: Callable[[Path, frozenset[str] | None], T],
    ) -> tuple[Path | None, T | None]:
        """The same for the table at `key`, whose source may be on the hub.

        There `reader` gets a folder with the small texts alone, and the names of all files that there will be.
        """
        source = section.source or ""
        repository = hub_id(source, self._loaded.folder)
        if repository is None:
            if section.revision is not None:
                message = f"counts only for repositories of the hub, and `{harmless(source)}` is a path"
                self._problem((*key, "revision"), message, "Remove it.")
            return self._read((*key, "source"), source, role, lambda path: reader(path, None))
        variant, weight_name = getattr(section, "variant", None), getattr(section, "weight_name", None)
        commit = self._pins.get((role, repository))
        try:
            snapshot = open_snapshot(repository, section.revision, layout, variant, weight_name, commit)
            found = reader(snapshot.folder, snapshot.listing)
        except HubError as error:
            self._problem((*key, "source"), error.message, error.remedy)
            return None, None
        except (OSError, ValueError) as error:
            self._problem((*key, "source"), f"`{harmless(source)}` {harmless(str(error))}")
            return None, None
        self._inputs.append(snapshot.input(role))
        self._snapshots[role] = snapshot
        return snapshot.folder, found

    def _encoders(self) -> Iterator[tuple[str, EncoderInput]]:
        for position, section in enumerate(self._spec.encoder):
            if section.kind == "plugin":
                found = self._found_plugins.get(("encoder", section.plugin or ""))
                if found is not None:
                    content = digest({"plugin": found.digest, "options": section.options})
                    yield section.name, EncoderInput(section.name, position, Path(), content, (), None)
                continue
            role = f"encoder {section.name}"
            path, labels = self._read_weights(("encoder", position), section, role, "encoder", read_classifier_labels)
            if path is not None and labels is not None:
                features = read_feature_size(path)
                yield section.name, EncoderInput(section.name, position, path, self._digest(role), labels, features)

    def _plugins(self) -> None:
        """Looks up the plugins that the spec names; their packages are inputs of the plan."""
        named: list[tuple[Key, PluginKind, str]] = [
            (("utility", at, "plugin"), "utility", utility.plugin)
            for at, utility in enumerate(self._spec.utility)
            if isinstance(utility, PluginUtility)
        ]
        for at, encoder in enumerate(self._spec.encoder):
            if encoder.kind == "plugin" and encoder.plugin is None:
                self._problem(("encoder", at), 'an encoder of kind "plugin" needs its name', 'Add plugin = "…".')
            elif encoder.kind == "plugin":
                named.append((("encoder", at, "plugin"), "encoder", encoder.plugin or ""))
        for key, kind, name in named:
            try:
                self._found_plugins[kind, name] = find_plugin(kind, name, self._allow_plugins)
            except PluginRefused as refused:
                self._problem(key, refused.message, refused.remedy)
        self._inputs += plugin_inputs(self._found_plugins.values())

    def _references(self) -> Iterator[tuple[str, Reference]]:
        """References that are files of their own."""
        column = self._spec.contributors.image or "image"
        for at, utility in enumerate(self._spec.utility):
            if not isinstance(utility, WithReference):
                continue
            key = ("utility", at, "reference")
            if utility.reference == "manifest":
                continue
            role = f"reference {utility.name}"
            path, schema = self._read(key, utility.reference, role, parquet_schema)
            if path is None or schema is None:
                continue
            shown = f"`{harmless(utility.reference)}`"
            try:
                if column not in schema or not is_image_column(schema[column]):
                    message = f"{shown} has no column `{harmless(column)}` with images"
                    self._problem(key, message, nearest(column, schema.names()))
                elif count_images(path, column) == 0:
                    self._problem(key, f"{shown} has no images", "Name a file that has some.")
            except OSError as error:
                self._problem(key, f"{shown} can't be read: {error}", "Write it again.")
            yield utility.name, Reference(path, self._digest(role), column)

    def _encoder_of(self, utility: UtilitySection, encoders: dict[str, EncoderInput]) -> EncoderInput | None:
        name = utility.encoder or (self._spec.encoder[0].name if self._spec.encoder else "")
        return encoders.get(name)

    def _check_model(self, card: ModelCard) -> None:
        """What is asked of the model that it can't do."""
        spec = self._spec
        if not card.unconditional and spec.empty.kind == "unconditional":
            message = 'the model has no class that means "no class", so it makes no unconditional images'
            remedy = 'Give the value of the empty coalition: `kind = "value"` and `value = …`.'
            self._problem(("empty", "kind"), message, remedy)
        if spec.flags.denoising_loss and card.pipeline is not None:
            message = f"denoising losses are known of class-conditional UNets alone, and the model is a {card.pipeline}"
            self._problem(("flags", "denoising_loss"), harmless(message), "Write `denoising_loss = false`.")
        elif spec.flags.denoising_loss and card.predicts not in PREDICTIONS:
            message = f"the model predicts `{harmless(card.predicts, 40)}`, and denoising losses know only"
            remedy = "Write `denoising_loss = false`."
            self._problem(("flags", "denoising_loss"), f"{message} {', '.join(PREDICTIONS)}", remedy)
        if card.pipeline is None and spec.model.dtype in ("bfloat16", "float16"):
            message = "class-conditional UNets compute in float32"
            self._problem(("model", "dtype"), message, 'Write `dtype = "float32"`, or leave it out.')
        if spec.model.adapters and card.kind == "classes":
            message = "adapters go on text-to-image pipelines, and the model is conditioned on classes"
            self._problem(("model", "adapters"), message, "Merge them into the model, or leave them out.")
        if not card.guided and spec.sampling.guidance_scale > 1:
            message = f"{card.pipeline} guides with class 1000, and the model has {len(card.labels):,} classes"
            self._problem(("sampling", "guidance_scale"), message, "Write `guidance_scale = 1.0`.")
        if card.pipeline == "DiTPipeline" and spec.sampling.scheduler in UNSCALED:
            message = f"DiTPipeline starts from noise of variance 1, and `{spec.sampling.scheduler}` from much more"
            self._problem(("sampling", "scheduler"), message, "Take `model`, `ddim`, `ddpm`, `dpmsolver++` or `unipc`.")
        if card.flow and spec.sampling.scheduler not in FLOW_SCHEDULERS:
            message = f"the model was trained by flow matching, which `{spec.sampling.scheduler}` doesn't sample"
            self._problem(("sampling", "scheduler"), message, f"Take one of {', '.join(FLOW_SCHEDULERS)}.")

    def _check_conditions(self, card: ModelCard, manifest: Manifest, encoders: dict[str, EncoderInput]) -> None:
        unknown = [position for position, name in enumerate(manifest.conditions) if card.label(name) is None]
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
                names = [label for name in manifest.conditions if (label := card.label(name)) is not None]
                wanted = [(("utility", at, "score"), name) for name in names]
            elif isinstance(utility, ScoreUtility) and not isinstance(utility.score, str):
                wanted = [(("utility", at, "score"), str(utility.score.class_))]
            missing = [(key, name) for key, name in wanted if class_index(name, encoder.labels) is None]
            if missing:
                listed = ", ".join(harmless(name, 40) for _, name in missing[:5])
                known = ", ".join(harmless(label, 20) for label in encoder.labels[:12])
                message = f"encoder `{encoder.name}` has no class {listed}"
                self._problem(missing[0][0], message, f"Its classes are {known}.")

    def _check_budget(self, manifest: Manifest, proxies: tuple[str, ...], images: int) -> None:
        budget = self._spec.budget
        if self._spec.sampling.mode == "fresh":
            sizes = [len(grouping.contributors) for grouping in manifest.groupings]
            coalitions = max(choose(self._spec, n, Evaluation(0.0)).coalitions for n in sizes)
            images = coalitions * (budget.images_per_coalition or IMAGES_PER_COALITION)
        if images > MOST_IMAGES:
            message = f"{images:,} images in one pool are more than {MOST_IMAGES:,}"
            self._problem(("budget",), message, "Lower the budget: intervals shrink with the square root of it alone.")
        if self._spec.estimator.kind == "surrogateshap_paper" and find_spec("xgboost") is None:
            message = "`surrogateshap_paper` needs xgboost, which is not installed"
            self._problem(("estimator", "kind"), message, 'pip install "surrogateshap[bench]"')
        for position, grouping in enumerate(manifest.groupings):
            n = len(grouping.contributors)
            least = 2 * (n - 1)
            if self._spec.estimator.kind == "permutation" and budget.coalitions and budget.coalitions < least:
                message = f"`permutation` needs whole orderings, and grouping `{grouping.name}` has {n} contributors"
                remedy = f"At least {least:,}: an ordering and its reverse; some thousands do well."
                self._problem(("budget", "coalitions"), message, remedy)
            if self._spec.estimator.kind == "exact" and n > EXACT_AT_MOST:
                message = f"`exact` evaluates all 2^n coalitions, and grouping `{grouping.name}` has {n} contributors"
                self._problem(("estimator", "kind"), message, f'Up to {EXACT_AT_MOST}; take `kind = "surrogate"`.')
            if position == 0 and self._spec.sampling.mode == "pool":
                least = 2 * n
                if budget.rules and "prompt" in proxies and least <= images and not shows_all(manifest, images):
                    message = f"the prompt proxy's pool has {images} images for {len(manifest.conditions)} conditions"
                    remedy = f"A pool that grows shows each condition twice: {2 * len(manifest.conditions)} are needed."
                    self._problem(("budget", "stop_when"), message, remedy)
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

    def _proxies(self, manifest: Manifest, card: ModelCard | None) -> tuple[str, ...]:
        kind = self._spec.proxy.kind
        asked = kind if isinstance(kind, tuple) else (kind,)
        if card is not None and "image" in asked:
            self._check_image_proxy(card)
        if kind != "auto":
            return asked
        if card is not None and not self._starts_from_images(card):
            return ("prompt",)
        first = manifest.groupings[0]
        pairs = np.unique(first.of_row * np.int64(len(manifest.conditions)) + manifest.condition_of_row)
        shared = len(manifest.conditions) < len(pairs)
        return ("image",) if manifest.image is not None and shared else ("prompt",)

    def _check_image_proxy(self, card: ModelCard) -> None:
        key: Key = ("proxy", "kind")
        if not card.image_to_image:
            message = f"{harmless(card.pipeline or '', 60)} has no counterpart that starts from images"
            self._problem(key, message, 'Write `kind = "prompt"`.')
        elif not self._starts_from_images(card):
            message = f"`{self._spec.sampling.scheduler}` doesn't start from images with a model of flow matching"
            self._problem(("sampling", "scheduler"), message, f"Take one of {', '.join(FLOW_IMAGE_SCHEDULERS)}.")

    def _starts_from_images(self, card: ModelCard) -> bool:
        return card.image_to_image and not (card.flow and self._spec.sampling.scheduler not in FLOW_IMAGE_SCHEDULERS)
