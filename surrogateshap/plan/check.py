"""A spec and the inputs that it names, read and checked: all problems of both come together.

Nothing is generated, loaded or written. `validate` ends here, so this must stay quick to import.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np

from surrogateshap.errors import Problem, SpecError
from surrogateshap.plan.anchors import Anchors, read_anchors
from surrogateshap.plan.cards import ModelCard, read_model_card
from surrogateshap.plan.check_encoders import (
    EncoderInput,
    Key,
    check_classes,
    check_needs,
    encoder_of,
    read_encoders,
    with_card,
)
from surrogateshap.plan.check_references import Head, Reference, read_heads, read_references
from surrogateshap.plan.coalitions import Evaluation, choose
from surrogateshap.plan.inputs import input_file
from surrogateshap.plan.manifest import Grouping, Manifest, read_manifest
from surrogateshap.plan.model import InputFile
from surrogateshap.spec.load import Loaded, read_spec
from surrogateshap.spec.paths import PathRefused, resolve
from surrogateshap.spec.utilities import AssociationUtility, UtilitySection, WithReference
from surrogateshap.text import harmless

EXACT_AT_MOST = 16
IMAGES_PER_CONTRIBUTOR = 100
IMAGES_PER_COALITION = 256
PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What a denoiser may predict for its losses to be known, by diffusers' names."""
MOST_IMAGES = 5_000_000
"""Of one pool; the list of them alone takes gigabytes beyond that."""

T = TypeVar("T")


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
    anchors: Anchors | None = None
    """Of the grouping that `anchored` names; None where the spec names no table."""

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


def check_spec(path: Path, allow: Sequence[Path] = ()) -> Checked:
    """Reads a spec and its inputs. Raises SpecError with every problem of all of them."""
    loaded, problems = read_spec(path)
    if loaded is None:
        raise SpecError(problems)
    return _Checker(loaded, allow, problems).check()


class _Checker:
    def __init__(self, loaded: Loaded, allow: Sequence[Path], problems: list[Problem]) -> None:
        self._loaded = loaded
        self._spec = loaded.spec
        self._allow = allow
        self._problems = list(problems)
        self._inputs = [InputFile(role="spec", name=loaded.file, digest=loaded.digest, bytes=len(loaded.text.encode()))]

    def check(self) -> Checked:
        spec = self._spec
        model_path, card = self._read(
            ("model", "source"), spec.model.source, "model", lambda path: read_model_card(path, spec.model.null_class)
        )
        tools = (self._read, self._digest, self._problem)
        encoders = {encoder.name: encoder for encoder in read_encoders(spec, *tools)}
        if card is not None:
            encoders = with_card(encoders, card)
        references = dict(read_references(spec, encoders, *tools))
        heads = dict(read_heads(spec, encoders, *tools))
        check_needs(spec, encoders, self._problem)
        manifest_path, _ = self._read(("contributors", "manifest"), spec.contributors.manifest, "manifest", Path)
        manifest = None
        if manifest_path is not None:
            manifest, found = read_manifest(self._loaded, manifest_path)
            self._problems += found
        if card is not None and card.null_class is None and spec.empty.kind == "unconditional":
            message = 'the model has no class that means "no class", so it makes no unconditional images'
            remedy = 'Give the value of the empty coalition: `kind = "value"` and `value = …`.'
            self._problem(("empty", "kind"), message, remedy)
        if card is not None and spec.flags.denoising_loss and card.predicts not in PREDICTIONS:
            message = f"the model predicts `{harmless(card.predicts, 40)}`, and denoising losses know only"
            remedy = "Write `denoising_loss = false`."
            self._problem(("flags", "denoising_loss"), f"{message} {', '.join(PREDICTIONS)}", remedy)
        if card is not None and manifest is not None:
            self._check_conditions(card, manifest)
            check_classes(spec, encoders, card, manifest, self._problem)
        anchors = self._anchors(manifest) if spec.fidelity.anchors is not None else None
        proxies: tuple[str, ...] = ()
        images = 0
        if manifest is not None:
            proxies, images = self._proxies(manifest), self._images(manifest)
            self._check_budget(manifest, proxies, images)
        if self._problems or card is None or manifest is None or model_path is None:
            raise SpecError(self._problems)
        for utility in spec.utility:
            if isinstance(utility, WithReference) and utility.reference == "manifest":
                whole = self._digest("manifest")
                references[utility.name] = Reference(manifest.path, whole, manifest.image or "", manifest=manifest)
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
            anchors=anchors,
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

    def _check_conditions(self, card: ModelCard, manifest: Manifest) -> None:
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
                least = max(2 * n, 2 * len(manifest.conditions) if "prompt" in proxies else 0)
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
