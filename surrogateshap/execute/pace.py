"""How long the rest of a run takes: by what its stages took so far, and by the plan where they have not begun."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_SURE = 2.0
"""Seconds of work after which it is measured how far stages overlap."""


@dataclass(frozen=True)
class Estimate:
    """What a plan says of a stage."""

    pending: int
    """Units."""
    seconds: float | None
    """For all of them; None where unknown."""


class Pace:
    """Of one attempt. Pools' stages go on side by side, so they take less time than they do apart."""

    def __init__(self, estimates: Mapping[str, Estimate], clock: Callable[[], float] = time.monotonic) -> None:
        self._estimates, self._clock = estimates, clock
        self._began: float | None = None
        self._fill = 0.0
        """Seconds of the pools' stages, each alone."""

    def spend(self, stage: str, seconds: float) -> None:
        """A stage took so long for something, by itself."""
        if _fills(stage):
            if self._began is None:
                self._began = self._clock() - seconds
            self._fill += seconds

    def left(self, pending: Mapping[str, int], rates: Mapping[str, float]) -> float | None:
        """Seconds until the run is done; None where a stage's time is unknown.

        `pending` are the units of the stages that have begun, `rates` the units per second of those that did any.
        """
        apart = together = 0.0
        for stage, estimate in self._estimates.items():
            units = pending.get(stage, estimate.pending)
            if not units:
                continue
            if rates.get(stage, 0.0) > 0:
                seconds = units / rates[stage]
            elif estimate.seconds is not None and estimate.pending:
                seconds = units * estimate.seconds / estimate.pending
            else:
                return None
            if _fills(stage):
                together += seconds
            else:
                apart += seconds
        return apart + together * self._overlap()

    def _overlap(self) -> float:
        """Time on the clock for each second of the pools' stages."""
        if self._began is None or self._fill < _SURE:
            return 1.0
        return (self._clock() - self._began) / self._fill


def _fills(stage: str) -> bool:
    return stage.startswith(("generate:", "encode:"))
