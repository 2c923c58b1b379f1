"""Contributors in the order of their values, as results keep them."""

from collections.abc import Sequence

import numpy as np

from surrogateshap.estimate import Intervals, ranks
from surrogateshap.games.encoded import Floats
from surrogateshap.record.results import ContributorResult


def ranked_contributors(
    names: Sequence[str], rows: Sequence[int | None], values: Floats, sure: Intervals, gain: float
) -> tuple[ContributorResult, ...]:
    """By rank, ties by name; `gain` is v(N) − v(∅)."""
    rank = ranks(values)
    shared = abs(gain) >= np.abs(values).max() > 0
    return tuple(
        ContributorResult(
            name=names[i],
            rows=rows[i],
            value=float(values[i]),
            low=float(sure.low[i]),
            high=float(sure.high[i]),
            sd_images=float(sure.sd_images[i]),
            sd_coalitions=float(sure.sd_coalitions[i]),
            rank=int(rank[i]),
            rank_low=int(sure.rank_low[i]),
            rank_high=int(sure.rank_high[i]),
            in_top=None if sure.in_top is None else float(sure.in_top[i]),
            share=float(values[i] / gain) if shared else None,
        )
        for i in sorted(range(len(names)), key=lambda i: (rank[i], names[i]))
    )
