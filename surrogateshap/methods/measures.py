"""How well scores agree: with retrained coalitions, and with the run's own ranking."""

import numpy as np

from surrogateshap.estimate.fidelity import Correlation, rank_agreement, spearman
from surrogateshap.games.encoded import Floats
from surrogateshap.methods.protocol import Scores
from surrogateshap.methods.task import Task
from surrogateshap.plan.anchors import Anchors
from surrogateshap.record.comparison import RankAgreement, UtilityComparison
from surrogateshap.record.results import Measured

_DIGITS = 12
"""Scores that differ later than that are equal."""


def measures(task: Task, scores: Scores, anchors: Anchors | None) -> tuple[UtilityComparison, ...]:
    """One per utility, without removals; v is evaluated on the anchors."""
    level, found = task.compiled.spec.intervals.level, []
    for utility, values in scores.values.items():
        lds = agreement = None
        if anchors is not None and utility in anchors.values:
            masks, truth = anchors.masks, anchors.values[utility]
            lds = _measured(rank_agreement(masks, masks @ values, truth, level, task.seed))
            if utility in scores.v:
                v = scores.v[utility](masks)
                if np.isfinite(v).all():  # on fewer anchors it couldn't stand beside the others'
                    agreement = _measured(rank_agreement(masks, v, truth, level, task.seed))
        found.append(
            UtilityComparison(
                utility=utility,
                values=tuple(values.tolist()),
                lds=lds,
                agreement=agreement,
                ranking=tuple(
                    _ranking(design.info.proxy, values, task.own_values(design))
                    for design in task.designs
                    if design.info.utility == utility
                ),
            )
        )
    return tuple(found)


def _measured(found: Correlation | None) -> Measured | None:
    return None if found is None else Measured(value=found.value, low=found.low, high=found.high)


def _ranking(proxy: str, values: Floats, own: Floats) -> RankAgreement:
    from scipy.stats import kendalltau

    pair = [_rounded(values), _rounded(own)]
    if any(np.ptp(each) == 0 for each in pair):
        return RankAgreement(proxy=proxy, spearman=None, kendall=None)
    rho = float(spearman(values, own, np.ones((1, len(values)), dtype=np.int64))[0])
    return RankAgreement(proxy=proxy, spearman=rho, kendall=float(kendalltau(*pair).statistic))


def _rounded(values: Floats) -> Floats:
    largest = np.abs(values).max(initial=0.0)
    return np.round(values / largest, _DIGITS) if largest > 0 else values
