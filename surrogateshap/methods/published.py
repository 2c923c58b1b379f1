"""SurrogateSHAP as published: fresh images for every coalition, boosted trees fitted by XGBoost, TreeSHAP."""

from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np

from surrogateshap.estimate.paper import fit_paper
from surrogateshap.execute.models import Request
from surrogateshap.games.encoded import Bools, Floats
from surrogateshap.methods.protocol import Cost, Method, Scores
from surrogateshap.methods.task import Task
from surrogateshap.plan.pool import Pool, PoolRequest, build_fresh_pool
from surrogateshap.text import digest


@dataclass(frozen=True)
class Published:
    """The published procedure, with plain utilities: the bias of few images per coalition stays."""

    name: str = "surrogateshap_paper"
    title: str = "SurrogateSHAP as published"
    paper: str = "SurrogateSHAP 2026, arXiv 2601.22276"

    def refuse(self, task: Task) -> str | None:
        """Without XGBoost."""
        return None if find_spec("xgboost") else 'xgboost is not installed: pip install "surrogateshap[bench]"'

    def cost(self, task: Task) -> Cost:
        """New images for every coalition that is drawn, for ∅ and for N."""
        return Cost(images=len(self._pool(task).keys))

    def run(self, task: Task) -> Scores:
        """Each coalition is a piece."""
        pool = self._pool(task)
        assert pool.masks is not None
        found: dict[str, list[float]] = {name: [] for name in task.utilities}
        for number, mask in enumerate(pool.masks, 1):
            task.check()
            values = task.evaluate(
                {"method": self.name}, mask, lambda requests: _made(task, requests), _part(pool, mask)
            )
            for name in found:
                found[name].append(values[name])
            if number % 50 == 0:
                task.say(f"{self.title}: {number} of {len(pool.masks)} coalitions")
        scores = {}
        for name, levels in found.items():
            values_of = dict(zip(map(bytes, np.packbits(pool.masks, axis=1)), levels, strict=True))
            empty, full = (values_of.get(bytes(np.packbits(np.full(task.n, member)))) for member in (False, True))
            inner = pool.masks.any(axis=1) & ~pool.masks.all(axis=1)
            level = np.array(levels)[inner]
            v_empty = task.ends(name)[0] if empty is None else empty
            scores[name] = self._fit(task, pool.masks[inner], level, v_empty, float(full or 0.0))
        return Scores(scores)

    def _fit(self, task: Task, masks: Bools, values: Floats, v_empty: float, v_full: float) -> Floats:
        what = digest([masks.astype(int).tolist(), values.tolist(), v_empty, v_full])
        return task.piece(
            {"method": self.name, "fit": what},
            lambda: {"values": fit_paper(masks, values, v_empty, v_full, task.seed).values},
        )["values"]

    def _pool(self, task: Task) -> Pool:
        settings, spec = task.settings.surrogateshap_paper, task.compiled.spec
        unconditional = settings.images if spec.empty.kind == "unconditional" else 0
        made = task.generation
        request = PoolRequest("prompt", spec.seed, settings.images, unconditional, made, made)
        manifest = task.compiled.checked.manifest
        return build_fresh_pool(request, manifest, task.grouping, "surrogateshap_paper", settings.coalitions)


def _part(pool: Pool, mask: np.ndarray) -> Pool:
    """Those images of a fresh pool that one coalition has."""
    assert pool.masks is not None
    assert pool.drawn is not None
    cell = int(np.flatnonzero((pool.masks == mask).all(axis=1))[0])
    at = np.flatnonzero(pool.cell_of_image == cell)
    return replace(
        pool,
        conditions=pool.conditions[at],
        rows=pool.rows[at],
        seeds=pool.seeds[at],
        keys=tuple(pool.keys[image] for image in at.tolist()),
        cell_of_image=pool.cell_of_image[at],
        drawn=pool.drawn[at],
    )


def _made(task: Task, requests: list[Request]) -> np.ndarray:
    return task.workshop.make(requests)[0]


METHODS: tuple[Method, ...] = (Published(),)
