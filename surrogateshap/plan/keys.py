"""Cache keys: what each artifact depends on, decided in this one place for the planner and the executor alike.

A key is a digest of semantic inputs only. Artifacts further down name the objects they were computed from, so that
results always belong to the very pixels that were evaluated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from surrogateshap.spec.model import Spec
from surrogateshap.text import digest

METHOD = 4
"""Raised whenever the same spec would give other results than before."""

Adapter = tuple[str, str | None, float]
"""Digest of a LoRA adapter's source, the file in it that is meant, and its scale."""


def semantic(section: Any, dropped: frozenset[str] = frozenset()) -> Any:
    """A section's values as JSON, less its execution and cosmetic keys and those `dropped`."""
    fields = type(section).model_fields
    kept = {
        name for name, field in fields.items() if name not in dropped and "sort" not in (field.json_schema_extra or {})
    }
    return section.model_dump(mode="json", include=kept)


def generation(spec: Spec, model_digest: str, proxy: str, adapters: Sequence[Adapter] = ()) -> str:
    """Of an image: the model and how it is sampled; `proxy` is "prompt" for images from noise alone.

    `adapters` are those on top of the model.
    """
    return digest(
        {
            "method": METHOD,
            "model": model_digest,
            "null_class": spec.model.null_class,
            "variant": spec.model.variant,
            "dtype": spec.model.dtype,
            "adapters": [list(adapter) for adapter in adapters],
            "sampling": semantic(spec.sampling, frozenset({"mode"})),
            "strength": spec.proxy.strength if proxy == "image" else None,
        }
    )


def denoising(spec: Spec, model_digest: str, levels: int) -> str:
    """Of denoising losses: the model, and the noise that it is tried on."""
    return digest(
        {
            "method": METHOD,
            "model": model_digest,
            "null_class": spec.model.null_class,
            "variant": spec.model.variant,
            "size": [spec.sampling.height, spec.sampling.width],
            "levels": levels,
            "seed": spec.seed,
        }
    )


def loss(denoising_key: str, condition: str, source: str) -> str:
    """Of the losses of one image, given by the digest of its bytes, under one condition."""
    return digest({"denoising": denoising_key, "condition": condition, "source": source})


def encoder(kind: str, content: str, settings: Any) -> str:
    """Of everything that an encoder's view of an image depends on: its kind, its files and the spec's settings."""
    return digest({"kind": kind, "content": content, "settings": settings})


def encoding(encoder_digest: str, content: str) -> str:
    """Of one encoder's view of an object of images, of a reference, of texts or of a training image."""
    return digest({"method": METHOD, "encoder": encoder_digest, "content": content})


def provenance(made: str) -> str:
    """Of where an object of images was made."""
    return digest({"made": made})


def spent(made: str) -> str:
    """Of the seconds that an object of images, or one encoder's view of it, took."""
    return digest({"spent": made})


def decision(plan_id: str, pool: str, made_in: int) -> str:
    """Of what a run decided after a round of an adaptive pool."""
    return digest({"plan": plan_id, "pool": pool, "round": made_in})


def features(keys: Sequence[str], found: Mapping[str, tuple[str, int]]) -> str:
    """Of a pool's pixels: where each image really is. Raises KeyError where one is missing."""
    return digest([found[key] for key in keys])


def game(
    *, pixels: str, membership: str, encoder: str, utility: Any, reference: str | None, beside: Any, rest: Any
) -> str:
    """Of a game's coalition values. `beside`: what its utility looks at beside the images and the reference."""
    return digest(
        {
            "method": METHOD,
            "pixels": pixels,
            "membership": membership,
            "encoder": encoder,
            "utility": semantic(utility, _ELSEWHERE) | {"kind": utility.kind},
            "reference": reference,
            "beside": beside,
            "rest": rest,
        }
    )


_ELSEWHERE = frozenset({"name", "encoder", "second_encoder", "reference", "head"})
"""Keys of a utility that say where something is; what it is counts by its digest."""


def fit(game_key: str, spec: Spec, estimator: str) -> str:
    """Of a game's Shapley values with their intervals."""
    settings: Any = None
    if estimator == "surrogate":
        settings = semantic(spec.estimator, frozenset({"kind"}))
    elif estimator == "exact":
        settings = {"interactions": spec.estimator.interactions}
    return digest(
        {
            "game": game_key,
            "estimator": estimator,
            "settings": settings,
            "intervals": semantic(spec.intervals),
            "payout": None if spec.payout is None else semantic(spec.payout),
            "seed": spec.seed,
        }
    )


def training(rows: str, seed: int, command: Sequence[str]) -> str:
    """Of an anchor's model: the rows it is trained on, the seed and the spec's command."""
    return digest({"rows": rows, "seed": seed, "command": list(command)})


def fidelity(fit_key: str, kind: str, anchors: str) -> str:
    """Of a game's agreement with anchors, whose coalitions and values have the digest `anchors`."""
    return digest({"fit": fit_key, "kind": kind, "anchors": anchors})


def plan(spec: Spec, inputs: Mapping[str, str]) -> str:
    """`plan_id`: of everything that changes results. `inputs` maps roles to content digests."""
    document = {name: _section(getattr(spec, name)) for name in type(spec).model_fields if name not in _NOT_HASHED}
    return digest({"method": METHOD, "spec": document, "inputs": dict(inputs)})


_NOT_HASHED = frozenset({"name", "execution", "compare"})
_PATHS = frozenset({"source", "revision", "manifest", "anchors", "head"})
"""Where inputs are; what they hold counts, by its digest."""


def _section(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_section(item) for item in value]
    if not hasattr(type(value), "model_fields"):
        return value
    document = semantic(value, _PATHS)
    for rule in document.get("grouping") or ():
        if isinstance(rule, dict):
            rule["groups"] = rule.get("groups") is not None
    if "adapters" in document:
        document["adapters"] = [{k: v for k, v in one.items() if k not in _PATHS} for one in document["adapters"]]
    if isinstance(labels := document.get("labels"), dict):
        document["labels"] = list(labels.items())  # their order counts: classes can be named by number
    if document.get("reference") not in (None, "manifest"):
        document["reference"] = "file"
    return document
