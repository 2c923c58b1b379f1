"""Every error a user can cause, with its exit code and its remedy. Nothing else is ever shown as a failure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with an input: where it is, what it is, and what to do about it."""

    file: str
    """As the user named it."""
    line: int
    """Counted from 1; 0 where the problem belongs to no line."""
    key: str
    """Dotted key, such as `utility[0].encoder`; empty where the problem belongs to no key."""
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        head = ": ".join(part for part in (where, self.key, self.message) if part)
        return f"{head}\n    {self.remedy}" if self.remedy else head


class Refused(ValueError):  # noqa: N818 - says what was done, as `InterruptedRun` does
    """Something that a spec names can't be used, with what to do about it; whoever reads the spec knows where."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.message, self.remedy = message, remedy


class SurrogateShapError(Exception):
    """Base of all errors that are shown without a traceback."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n    {self.remedy}" if self.remedy else self.message


class SpecError(SurrogateShapError):
    """A spec, or an input that it names, is wrong. Carries every problem found."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


class PlanError(SurrogateShapError):
    """A plan can't be made, or a saved one is stale."""

    exit_code = 3


class MissingExtraError(SurrogateShapError):
    """An optional package is needed and isn't installed; the remedy is its `pip install` line."""

    exit_code = 4


class DeviceError(SurrogateShapError):
    """A device is missing, or too small."""

    exit_code = 5


class RunError(SurrogateShapError):
    """A run failed; what it finished is kept."""

    exit_code = 6


class VerificationError(SurrogateShapError):
    """A record doesn't hold."""

    exit_code = 7


WORKER = "surrogateshap-worker"
"""How the names of threads begin that may still be in the middle of a batch when a run was stopped at once."""


class InterruptedRun(SurrogateShapError):  # noqa: N818 - an interruption is not an error of anyone's
    """The user stopped a run; what it finished is kept."""

    exit_code = 130
