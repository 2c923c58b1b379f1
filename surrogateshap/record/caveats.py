"""What an estimator's results say of themselves, in runs and in tables alike."""

from collections.abc import Sequence

import numpy as np

from surrogateshap.games.encoded import Floats
from surrogateshap.record.results import EstimatorName, Interaction
from surrogateshap.units import significant


def warnings_of(estimator: EstimatorName, gap: float) -> list[str]:
    """What to know of values that miss v(N) − v(∅) by `gap`, since their estimator makes no correction."""
    if estimator == "leave_one_out":
        return [f"Leave-one-out values are no Shapley values: they miss v(N) − v(∅) by {significant(gap)}."]
    if estimator == "surrogateshap_paper":
        return [f"The published recipe makes no correction: values miss v(N) − v(∅) by {significant(gap)}."]
    return []


def strongest_pairs(names: Sequence[str], found: Floats, most: int | None = None) -> tuple[Interaction, ...]:
    """Interactions (n, n) as a list, strongest first and ties in the contributors' order; all, or the first `most`."""
    first, second = np.triu_indices(len(names), 1)
    strength = found[first, second]
    order = np.argsort(-np.abs(strength), kind="stable")[:most]
    return tuple(Interaction(a=names[first[k]], b=names[second[k]], value=float(strength[k])) for k in order)
