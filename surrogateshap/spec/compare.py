"""The spec's [compare]: which methods stand beside the run's own values, and their own settings.

None of it changes a run: it is outside the plan's identity, and counts in the keys of what methods keep.
"""

from typing import Annotated, Literal

from pydantic import Field

from surrogateshap.spec.section import EXECUTION, Section

MethodName = Literal[
    "prompt_proxy",
    "image_proxy",
    "surrogateshap_paper",
    "leave_one_out",
    "kernelshap",
    "permutation",
    "banzhaf",
    "pixel_similarity",
    "clip_similarity",
    "encoder_similarity",
    "own_utility",
]
"""Every method that `surrogateshap compare` knows."""

Methods = Annotated[tuple[MethodName, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True})]


class PublishedSection(Section):
    """`surrogateshap_paper`."""

    coalitions: int = Field(default=300, ge=4, lt=2**31, json_schema_extra=EXECUTION)
    """Drawn, each with images of its own."""
    images: int = Field(default=256, ge=2, lt=2**31, json_schema_extra=EXECUTION)
    """For each coalition."""


class SimilaritySection(Section):
    """`pixel_similarity`, `clip_similarity` and `encoder_similarity`: cosines of generated and training images."""

    rows: Literal["mean", "max"] = Field(default="mean", json_schema_extra=EXECUTION)
    """A contributor's similarity to an image: the mean over its rows, or that of the most similar row."""
    images: Literal["mean", "influence"] = Field(default="mean", json_schema_extra=EXECUTION)
    """Generated images count alike, whatever the utility, or by how much each of them raises it."""


class CompareSection(Section):
    """Other methods on the same contributors and utilities, for `surrogateshap compare`; changes no result of a run."""

    methods: Methods | None = Field(default=None, json_schema_extra=EXECUTION)
    """Which, in this order. Default: all that can run here."""
    images: int = Field(default=400, ge=2, lt=2**31, json_schema_extra=EXECUTION)
    """Images of the frozen model that attribution methods explain, and that each model a method trains is evaluated
    on."""
    rows_per_contributor: int = Field(default=200, ge=1, lt=2**31, json_schema_extra=EXECUTION)
    """Training images of each contributor that similarity and `own_utility` look at, at most."""
    coalitions: int = Field(default=2048, ge=4, lt=2**31, json_schema_extra=EXECUTION)
    """That `kernelshap`, `permutation` and `banzhaf` evaluate in the run's own games."""
    surrogateshap_paper: PublishedSection = PublishedSection()
    similarity: SimilaritySection = SimilaritySection()
