"""What every method that values contributors has: a name, a paper, a cost that is told beforehand, and scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol

from surrogateshap.estimate import ValueFunction
from surrogateshap.games.encoded import Floats

if TYPE_CHECKING:
    from surrogateshap.methods.task import Task


@dataclass(frozen=True)
class Cost:
    """What a method takes: stated before it runs, measured afterwards."""

    images: int = 0
    """Generated."""
    training_steps: int = 0
    """Optimizer steps, of all models together."""
    gradients: int = 0
    """Gradients taken for single images or rows."""
    seconds: float = 0.0
    """Of wall time; 0 where nothing is known beforehand, nan where images are not what takes long."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True)
class Scores:
    """What a method says of the n contributors of one grouping, by utility."""

    values: Mapping[str, Floats]
    """(n,) of each utility; higher is worth more."""
    v: Mapping[str, ValueFunction] = field(default_factory=dict)
    """Coalitions (M, n) -> values (M,), where the method has a value function that can be asked for any coalition.
    Coalitions that it has no value of give NaN."""
    notes: tuple[str, ...] = ()
    """What its numbers have to be read with."""


class Method(Protocol):
    """One method. It has no state: all that it knows it gets from the task."""

    @property
    def name(self) -> str:
        """The field's standard term, in small letters: what specs and `--methods` call it by."""
        ...

    @property
    def title(self) -> str:
        """For people."""
        ...

    @property
    def paper(self) -> str:
        """Whose idea it is: authors, year, identifier."""
        ...

    def refuse(self, task: "Task") -> str | None:
        """Why it can't work on this task, as half a sentence such as `the manifest has no images`; None where it can.

        Cheap, and without torch.
        """
        ...

    def cost(self, task: "Task") -> Cost:
        """What it would take from an empty store, without doing it and without torch. Called where it isn't refused."""
        ...

    def run(self, task: "Task") -> Scores:
        """The scores. What took long is kept by `task.piece`, so that it can be killed at any time.

        Raises RunError, DeviceError, and InterruptedRun by way of `task.check`.
        """
        ...
