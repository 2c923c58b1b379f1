"""What an estimator is told and what it says."""

from dataclasses import dataclass

from surrogateshap.games.encoded import Floats
from surrogateshap.spec.model import EstimatorName


class CoalitionsError(ValueError):
    """The coalitions given are not those that an estimator needs."""

    def __init__(self, message: str, remedy: str = "", contributors: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.contributors = contributors
        """Those that it is about."""


@dataclass(frozen=True)
class TreeSettings:
    """The surrogate's trees; the defaults did well at 300 to 4,000 coalitions."""

    trees: int = 600
    learning_rate: float = 0.05
    leaves: int = 15
    min_child_samples: int = 5
    subsample: float = 0.8
    """Share of rows and of columns that each tree sees."""


@dataclass(frozen=True)
class Fit:
    """Shapley values of one game."""

    values: Floats
    """(n,); they sum to v(N) − v(∅), but for `leave_one_out` and `surrogateshap_paper`."""
    efficiency_gap: float
    """(v(N) − v(∅)) − Σφ before the correction that makes it zero; those two make none."""
    cv_r2: float | None
    """R² on held-out coalitions; None where all were evaluated, all values are equal, or there are too few."""
    coalitions: int
    estimator: EstimatorName
    """Its name in `ESTIMATORS`; `exact` where the coalitions given to `surrogate` were all there are."""
    interactions: Floats | None = None
    """Pairwise Shapley interaction indices (n, n), zeros on the diagonal; None where nobody asked for them."""
    held_out: Floats | None = None
    """Predicted beside evaluated values (k, 2) of the coalitions that `cv_r2` was measured on; None as that is."""


def share_gap(values: Floats, total: float) -> tuple[Floats, float]:
    """Values (n,) with the gap `total` − Σφ shared equally, and the gap.

    A jump at ∅ is worth the same to every contributor, by symmetry; so is what a surrogate misses.
    """
    gap = total - float(values.sum())
    return values + gap / len(values), gap
