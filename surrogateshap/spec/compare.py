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


class CompareSection(Section):
    """Other methods on the same contributors and utilities, for `surrogateshap compare`; changes no result of a run."""

    methods: Methods | None = Field(default=None, json_schema_extra=EXECUTION)
    """Which, in this order. Default: all that can run here."""
    images: int = Field(default=400, ge=2, lt=2**31, json_schema_extra=EXECUTION)
    """Images of the frozen model that attribution methods explain, and that each model a method trains is evaluated
    on."""
