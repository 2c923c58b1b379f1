"""What every table of a spec is made from."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""A name of the user's own making: lower case letters, digits, `.`, `_`, `-`; at most 64 characters."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
ClassName = Annotated[int, Field(ge=0, lt=2**31)] | Text
"""A class of a classifier, by name or by index from 0."""
Scalar = bool | int | float | Text
"""A plain value of a plugin's own option."""

COSMETIC: dict[str, Any] = {"sort": "cosmetic"}
EXECUTION: dict[str, Any] = {"sort": "execution"}


class Section(BaseModel):
    """Base of every table of a spec: unknown keys are errors, values are never coerced, nothing changes afterwards."""

    model_config = ConfigDict(
        defer_build=True, extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
