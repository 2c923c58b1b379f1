"""The encoders of a spec, and whether each utility has one that sees what it needs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeVar, assert_never

from surrogateshap.plan import keys
from surrogateshap.plan.cards import ModelCard
from surrogateshap.plan.configs import class_index
from surrogateshap.plan.encoders import (
    INCEPTION_CLASSES,
    INCEPTION_FEATURES,
    LPIPS_FEATURES,
    read_backbone,
    read_classifier_labels,
    read_clip,
    read_feature_size,
    read_inception,
    read_lpips,
    read_shared_size,
)
from surrogateshap.plan.files import Layout
from surrogateshap.plan.manifest import Manifest
from surrogateshap.spec.model import EncoderSection, Spec
from surrogateshap.spec.utilities import (
    AestheticUtility,
    AssociationUtility,
    ClassScore,
    ClipScoreUtility,
    InceptionUtility,
    RateUtility,
    ScoreUtility,
    StructureUtility,
    UtilitySection,
)
from surrogateshap.text import harmless

Key = tuple[str | int, ...]
T = TypeVar("T")
Tell = Callable[[Key, str, str], None]
"""Key, message and remedy of a problem."""
_WINDOW = 11
"""Pixels that structural similarity compares at least."""
_FID = 'pip install "surrogateshap[fid]"'


class Read(Protocol):
    """Resolves, digests and reads an input of a role; every way that this fails becomes a problem at the key."""

    def __call__(
        self, key: Key, source: str, role: str, reader: Callable[[Path], T], /
    ) -> tuple[Path | None, T | None]: ...


class ReadWeights(Protocol):
    """The same for the table at the key, whose source may be on the hub: there only texts are read, and file names."""

    def __call__(
        self,
        key: Key,
        section: EncoderSection,
        role: str,
        layout: Layout,
        reader: Callable[[Path, frozenset[str] | None], T],
        /,
    ) -> tuple[Path | None, T | None]: ...


@dataclass(frozen=True)
class EncoderInput:
    """An encoder, as far as the planner knows it."""

    name: str
    position: int
    """Among the spec's encoders."""
    path: Path | None
    """Its folder or file; None where it needs none."""
    digest: str
    """Of everything that its views of an image depend on."""
    labels: tuple[str, ...]
    features: int | None
    """Length of its feature vectors; None where its config doesn't say."""
    kind: str = "classifier"
    attributes: tuple[int, ...] = ()
    """Which attribute each label belongs to; empty where all belong to one."""
    size: int = 0
    """`pixels`: height and width that images are scaled to."""

    @property
    def one_attribute(self) -> bool:
        """Whether its probabilities are those of one set of classes."""
        return bool(self.labels) and len(set(self.attributes)) <= 1


@dataclass(frozen=True)
class _Seen:
    """What a folder or file says."""

    labels: tuple[str, ...] = ()
    features: int | None = None


def encoder_of(spec: Spec, name: str | None) -> str:
    """The encoder that a utility names, or the only one; empty where there is none."""
    return name or (spec.encoder[0].name if spec.encoder else "")


def read_encoders(
    spec: Spec, plugins: Mapping[str, str], read: ReadWeights, digest: Callable[[str], str], tell: Tell
) -> Iterator[EncoderInput]:
    """Those encoders of a spec that can be used. `digest` gives an input's by role, `plugins` a plugin's by name."""
    for position, section in enumerate(spec.encoder):
        role = f"encoder {section.name}"
        labels, attributes = _texts(section)
        path, seen, content = None, _Seen(), ""
        if section.kind == "inception" and (find_spec("torch_fidelity") is None or find_spec("torchvision") is None):
            tell(("encoder", position, "kind"), "`inception` needs torch-fidelity, which is not installed", _FID)
        if section.source is not None:
            path, found = read(("encoder", position), section, role, "encoder", _reader(section))
            if path is None or found is None:
                continue
            seen, content = found, digest(role)
        elif section.kind == "plugin" and (found_plugin := plugins.get(section.plugin or "")) is not None:
            content = found_plugin
        elif section.kind != "pixels":
            continue  # told where the spec and its plugins are checked
        settings = {
            "labels": [list(texts) for texts in (section.labels or {}).values()],
            "size": section.size if section.kind == "pixels" else None,
            "options": section.options if section.kind == "plugin" else None,
        }
        yield EncoderInput(
            name=section.name,
            position=position,
            path=path,
            digest=keys.encoder(section.kind, content, settings),
            labels=labels or seen.labels,
            features=seen.features,
            kind=section.kind,
            attributes=attributes,
            size=section.size if section.kind == "pixels" else 0,
        )


def _texts(section: EncoderSection) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Texts of zero-shot attributes, and which attribute each belongs to."""
    groups = tuple((section.labels or {}).values())
    labels = tuple(text for texts in groups for text in texts)
    return labels, tuple(number for number, texts in enumerate(groups) for _ in texts)


def _reader(section: EncoderSection) -> Callable[[Path, frozenset[str] | None], _Seen]:
    match section.kind:
        case "classifier":
            return lambda path, listing: _Seen(read_classifier_labels(path, listing), read_feature_size(path))
        case "clip":
            return _clip
        case "backbone":
            return _backbone
        case "inception":
            return lambda path, _: _inception(path)
        case "lpips":
            return lambda path, _: _lpips(path)
        case "pixels" | "plugin":
            return lambda *_: _Seen()
        case _:
            assert_never(section.kind)


def _clip(path: Path, listing: frozenset[str] | None) -> _Seen:
    read_clip(path, listing)
    return _Seen(features=read_shared_size(path))


def _backbone(path: Path, listing: frozenset[str] | None) -> _Seen:
    read_backbone(path, listing)
    return _Seen(features=read_feature_size(path))


def _inception(path: Path) -> _Seen:
    read_inception(path)
    return _Seen(tuple(map(str, range(INCEPTION_CLASSES))), INCEPTION_FEATURES)


def _lpips(path: Path) -> _Seen:
    read_lpips(path)
    return _Seen(features=LPIPS_FEATURES)


def with_card(encoders: Mapping[str, EncoderInput], card: ModelCard) -> dict[str, EncoderInput]:
    """The encoders once the model's images are known: their pixels can be counted."""
    return {
        name: replace(encoder, features=encoder.size**2 * card.channels) if encoder.kind == "pixels" else encoder
        for name, encoder in encoders.items()
    }


def check_needs(spec: Spec, encoders: Mapping[str, EncoderInput], tell: Tell) -> None:
    """Tells of every utility whose encoder doesn't see what it needs."""
    for at, utility in enumerate(spec.utility):
        encoder = encoders.get(encoder_of(spec, utility.encoder))
        if encoder is not None and (lack := _lack(utility, encoder)) is not None:
            key: Key = ("utility", at, "encoder" if utility.encoder else "kind")
            message = f"`{utility.kind}` needs {lack[0]}, and encoder `{encoder.name}` is of the kind `{encoder.kind}`"
            tell(key, message, lack[1])
        if isinstance(utility, AssociationUtility) and isinstance(utility.between[1], ClassScore):
            second = encoders.get(utility.second_encoder or "")
            if second is not None and not (second.labels or second.kind == "plugin"):
                message = f"`association` needs classes, and encoder `{second.name}` has none"
                tell(("utility", at, "second_encoder"), message, _CLASSES)


_CLASSES = 'Name an encoder of the kind "classifier", or one of the kind "clip" with `labels`.'


def _lack(utility: UtilitySection, encoder: EncoderInput) -> tuple[str, str] | None:
    """What an encoder lacks for a utility, and the remedy."""
    if encoder.kind == "plugin":
        return None  # it says at the run what it sees
    if isinstance(utility, AestheticUtility | ClipScoreUtility) and encoder.kind != "clip":
        return "features of CLIP", 'Name an encoder of the kind "clip".'
    if isinstance(utility, StructureUtility) and (encoder.kind != "pixels" or encoder.size < _WINDOW):
        return "pixels of at least 11 × 11", 'Name an encoder of the kind "pixels", with size = 64 or so.'
    if isinstance(utility, InceptionUtility) or (isinstance(utility, ScoreUtility) and isinstance(utility.score, str)):
        if not encoder.one_attribute:
            several = "classes of one attribute" if encoder.labels else "classes"
            remedy = "Give it `labels` of one attribute alone." if encoder.labels else _CLASSES
            return several, remedy
    elif isinstance(utility, ScoreUtility | RateUtility) and not encoder.labels:
        return "classes", _CLASSES
    elif isinstance(utility, AssociationUtility) and not encoder.labels:
        seen = [one for one in _seen_by_first(utility) if isinstance(one, ClassScore)]
        return ("classes", _CLASSES) if seen else None
    return None


def _seen_by_first(utility: AssociationUtility) -> tuple[object, ...]:
    return utility.between if utility.second_encoder is None else utility.between[:1]


def check_classes(
    spec: Spec, encoders: Mapping[str, EncoderInput], card: ModelCard, manifest: Manifest, tell: Tell
) -> None:
    """Tells of classes that an encoder doesn't have, and of conditions that no row has."""
    for at, utility in enumerate(spec.utility):
        encoder = encoders.get(encoder_of(spec, utility.encoder))
        if encoder is not None and encoder.labels:
            _check_names(_wanted(at, utility, card, manifest), encoder, tell)
        if isinstance(utility, AssociationUtility):
            _check_association(at, utility, encoder, encoders, manifest, tell)


def _wanted(at: int, utility: UtilitySection, card: ModelCard, manifest: Manifest) -> list[tuple[Key, str]]:
    """Classes that a utility names, with the keys that do so."""
    if isinstance(utility, RateUtility):
        return [(("utility", at, "class"), str(utility.class_))]
    if isinstance(utility, ScoreUtility) and utility.score == "condition":
        names = [name for condition in manifest.conditions if (name := card.label(condition)) is not None]
        return [(("utility", at, "score"), name) for name in names]
    if isinstance(utility, ScoreUtility) and isinstance(utility.score, ClassScore):
        return [(("utility", at, "score"), str(utility.score.class_))]
    return []


def _check_names(wanted: list[tuple[Key, str]], encoder: EncoderInput, tell: Tell) -> None:
    missing = [(key, name) for key, name in wanted if class_index(name, encoder.labels) is None]
    if missing:
        listed = ", ".join(harmless(name, 40) for _, name in missing[:5])
        known = ", ".join(harmless(label, 20) for label in encoder.labels[:12])
        tell(missing[0][0], f"encoder `{encoder.name}` has no class {listed}", f"Its classes are {known}.")


def _check_association(
    at: int,
    utility: AssociationUtility,
    first: EncoderInput | None,
    encoders: Mapping[str, EncoderInput],
    manifest: Manifest,
    tell: Tell,
) -> None:
    key: Key = ("utility", at, "between")
    second = encoders.get(utility.second_encoder) if utility.second_encoder is not None else first
    there = set(manifest.conditions)
    for attribute, encoder in zip(utility.between, (first, second), strict=True):
        if isinstance(attribute, ClassScore):
            if encoder is not None and encoder.labels:
                _check_names([(key, str(attribute.class_))], encoder, tell)
            continue
        unknown = [name for name in attribute.conditions if name not in there]
        if unknown:
            listed = ", ".join(harmless(name, 40) for name in unknown[:5])
            known = ", ".join(harmless(name, 40) for name in manifest.conditions[:12])
            tell(key, f"no row of the manifest has the condition {listed}", f"Its conditions are {known}.")
