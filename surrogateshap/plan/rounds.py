"""A pool filled in rounds under `budget.stop_when`: its pilot, and the decisions of a run that a store remembers."""

from dataclasses import dataclass, replace

import numpy as np

from surrogateshap.plan import keys
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.manifest import Manifest
from surrogateshap.plan.pool import Pool, PoolRequest, build_pool, request_counts
from surrogateshap.spec.model import StopRule
from surrogateshap.store import Store

PILOT = 4
"""The pilot has this part of the budget, but at least PILOT_IMAGES per contributor and 2 per cell."""
PILOT_IMAGES = 10
GROWTH = 1.5
"""Of the pool, from round to round."""


@dataclass(frozen=True)
class Course:
    """How one pool has been filled so far."""

    pool: Pool
    """As it is when its last round is filled."""
    rounds: tuple[np.ndarray, ...]
    """`Pool.counts` of each round."""
    stopped: bool
    rule: str | None
    """The rule that held, in words; None where none did so far."""

    @property
    def images(self) -> int:
        """Of the last round."""
        return int(self.rounds[-1].sum())


def pilot_counts(request: PoolRequest, manifest: Manifest) -> np.ndarray:
    """(C + 1,): images of each cell in the first round: an even split without gaps that the whole one hasn't."""
    contributors = len(manifest.groupings[0].contributors)
    images = min(request.images, max(-(-request.images // PILOT), PILOT_IMAGES * contributors))
    unconditional = min(request.unconditional, max(-(-request.unconditional // PILOT), PILOT_IMAGES))
    small = request_counts(replace(request, images=images, unconditional=unconditional), manifest)
    return np.asarray(np.minimum(request_counts(request, manifest), np.maximum(small, 2)))


def courses(compiled: Compiled, store: Store | None) -> dict[str, Course]:
    """By pool: the pilot, and every round that was decided on; nothing is computed."""
    found = {}
    for pool in compiled.pools:
        if pool.request is None:
            continue
        rounds: tuple[np.ndarray, ...] = (pilot_counts(pool.request, compiled.checked.manifest),)
        stopped, rule = False, None
        while store is not None and not stopped:
            key = keys.decision(compiled.plan_id, pool.id, len(rounds))
            name = store.lookup([key]).get(key)
            decision = store.get_json(name) if name is not None else None
            if decision is None:
                break
            counts = np.array(decision["counts"], np.int64)
            stopped, rule = decision["stopped"], decision["rule"]
            rounds = (*rounds[:-1], counts) if stopped else (*rounds, counts)
        found[pool.id] = course(compiled, pool, rounds, stopped, rule)
    return found


def course(
    compiled: Compiled, pool: Pool, rounds: tuple[np.ndarray, ...], stopped: bool = False, rule: str | None = None
) -> Course:
    """The pool after these rounds."""
    assert pool.request is not None
    return Course(build_pool(pool.request, compiled.checked.manifest, rounds), rounds, stopped, rule)


def remember(compiled: Compiled, store: Store, pool: str, made_in: int, after: Course) -> None:
    """Keeps what was decided after round `made_in` (from 1) of a pool, before anything is done about it."""
    document = {"counts": after.rounds[-1].tolist(), "stopped": after.stopped, "rule": after.rule}
    store.remember(keys.decision(compiled.plan_id, pool, made_in), store.put_json(document), "generate")


def words(rule: StopRule) -> str:
    """A rule as part of a sentence."""
    parts = []
    if rule.interval_width is not None:
        parts.append(f"no interval is wider than {rule.interval_width:.4g} of the largest value")
    if rule.stable_top is not None:
        sure = "contributor is surely the first" if rule.stable_top == 1 else "contributors are surely the first"
        parts.append(f"{rule.stable_top} {sure}")
    if rule.gpu_hours is not None:
        parts.append(f"{rule.gpu_hours:.4g} GPU-hours are spent")
    return " and ".join(parts)
