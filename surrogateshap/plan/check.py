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
from surrogateshap.plan.check_encoders import (
    EncoderInput,
    Key,
    check_classes,
    check_needs,
    encoder_of,
    read_encoders,
    with_card,
)
from surrogateshap.plan.check_model import check_image_proxy, check_model, starts_from_images
from surrogateshap.plan.check_references import REFERENCE_AT_MOST, Head, Reference, read_heads, read_references
from surrogateshap.plan.coalitions import Evaluation, choose
from surrogateshap.plan.files import Layout
from surrogateshap.plan.hub import HubRefused, Pins, Snapshot, open_snapshot
from surrogateshap.plan.inputs import input_file, plugin_inputs
from surrogateshap.plan.manifest import Grouping, Manifest, load_manifest
from surrogateshap.plan.model import InputFile
from surrogateshap.plugins import Plugin, PluginKind, PluginRefused, find_plugin
from surrogateshap.spec.load import Loaded, read_spec
from surrogateshap.spec.model import AdapterSection, EncoderSection, ModelSection
from surrogateshap.spec.paths import PathRefused, hub_id, resolve
from surrogateshap.spec.utilities import AssociationUtility, PluginUtility, UtilitySection, WithReference
from surrogateshap.text import harmless

EXACT_AT_MOST = 16
IMAGES_PER_CONTRIBUTOR = 100
IMAGES_PER_COALITION = 256
MOST_IMAGES = 5_000_000
"""Of one pool; the list of them alone takes gigabytes beyond that."""

T = TypeVar("T")


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
    heads: dict[str, Head]
    """By utility."""
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
        return self.encoders[encoder_of(self.loaded.spec, utility.encoder)]

    def second_of(self, utility: UtilitySection) -> EncoderInput | None:
        """The encoder that sees an association's second attribute, where it is another."""
        name = utility.second_encoder if isinstance(utility, AssociationUtility) else None
        return None if name in (None, self.encoder_of(utility).name) else self.encoders[str(name)]


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
        if card is not None:
            check_model(spec, card, self._problem)
        tools = (self._digest, self._problem)
        plugins = {name: found.digest for (kind, name), found in self._found_plugins.items() if kind == "encoder"}
        encoders = {one.name: one for one in read_encoders(spec, plugins, self._read_weights, *tools)}
        if card is not None:
            encoders = with_card(encoders, card)
        references = dict(read_references(spec, encoders, self._read, *tools))
        heads = dict(read_heads(spec, encoders, self._read, *tools))
        check_needs(spec, encoders, self._problem)
        manifest, found = load_manifest(self._loaded, self._allow)
        self._problems += found
        self._inputs += manifest.inputs if manifest is not None else ()
        if card is not None and manifest is not None:
            self._check_conditions(card, manifest)
            check_classes(spec, encoders, card, manifest, self._problem)
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
            heads=heads,
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
        return Reference(manifest.path, content, manifest.image or "", manifest=manifest)

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
        except HubRefused as error:
            self._problem((*key, "source"), error.message, error.remedy)
            return None, None
        except (OSError, ValueError) as error:
            self._problem((*key, "source"), f"`{harmless(source)}` {harmless(str(error))}")
            return None, None
        self._inputs.append(snapshot.input(role))
        self._snapshots[role] = snapshot
        return snapshot.folder, found

    def _plugins(self) -> None:
        """Looks up the plugins that the spec names; their packages are inputs of the plan."""
        named: list[tuple[Key, PluginKind, str]] = [
            (("utility", at, "plugin"), "utility", utility.plugin)
            for at, utility in enumerate(self._spec.utility)
            if isinstance(utility, PluginUtility)
        ]
        named += [
            (("encoder", at, "plugin"), "encoder", encoder.plugin)
            for at, encoder in enumerate(self._spec.encoder)
            if encoder.plugin is not None
        ]
        for key, kind, name in named:
            try:
                self._found_plugins[kind, name] = find_plugin(kind, name, self._allow_plugins)
            except PluginRefused as refused:
                self._problem(key, refused.message, refused.remedy)
        self._inputs += plugin_inputs(self._found_plugins.values())

    def _check_conditions(self, card: ModelCard, manifest: Manifest) -> None:
        if card.kind == "prompts":
            return
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
            check_image_proxy(self._spec, card, self._problem)
        if kind != "auto":
            return asked
        if card is not None and not starts_from_images(self._spec, card):
            return ("prompt",)
        first = manifest.groupings[0]
        pairs = np.unique(first.of_row * np.int64(len(manifest.conditions)) + manifest.condition_of_row)
        shared = len(manifest.conditions) < len(pairs)
        return ("image",) if manifest.image is not None and shared else ("prompt",)
