"""Classical estimators on the run's own games: leave-one-out, KernelSHAP, permutation sampling, Banzhaf values."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from surrogateshap.estimate import Options, ValueFunction, all_masks, estimate_game
from surrogateshap.estimate.banzhaf import banzhaf
from surrogateshap.estimate.kernel import fit_kernel
from surrogateshap.games.coalitions import MOST_EXACT
from surrogateshap.games.encoded import Floats
from surrogateshap.methods.protocol import Cost, Method, Scores
from surrogateshap.methods.task import Task


@dataclass(frozen=True)
class Classical:
    """One estimator, on the games of the run's image proxy, or of its prompt proxy where it has no other."""

    name: str
    title: str
    paper: str
    values: Callable[[ValueFunction, int, int, int], Floats]
    """Of a game, given n, about how many coalitions, and a seed."""

    def refuse(self, task: Task) -> str | None:
        """Where the games have values of drawn coalitions alone."""
        fresh = task.designs_of(task.proxy)[0].pool.masks is not None
        return "the run has fresh images for its own coalitions alone" if fresh else None

    def cost(self, task: Task) -> Cost:
        """The run's pool: coalitions cost no images."""
        design = task.designs_of(task.proxy)[0]
        return Cost(images=len(design.pool.keys), seconds=task.seconds_of_pool(design) or 0.0)

    def run(self, task: Task) -> Scores:
        """No value function of its own: it is the run's."""
        designs = task.designs_of(task.proxy)
        task.count_pool(designs[0])
        found = {}
        for design in designs:
            task.check()
            found[design.info.utility] = self.values(task.game(design), task.n, task.settings.coalitions, task.seed)
        return Scores(found, notes=(f"On the games of the run's {task.proxy} proxy.",))


def _estimated(name: str, game: ValueFunction, n: int, coalitions: int, seed: int) -> Floats:
    return estimate_game(name, game, n, coalitions, Options(seed=seed)).values


def _kernelshap(game: ValueFunction, n: int, coalitions: int, seed: int) -> Floats:
    """All coalitions where as many are allowed: then the values are exact."""
    if n > MOST_EXACT or 2**n > coalitions:
        return _estimated("kernel", game, n, coalitions, seed)
    masks = all_masks(n)
    values = game(masks)
    return fit_kernel(masks[1:-1], values[1:-1], float(values[0]), float(values[-1])).values


METHODS: tuple[Method, ...] = (
    Classical(
        "leave_one_out",
        "Leave-one-out",
        "Cook 1977, Detection of influential observation, 10.2307/1268249",
        partial(_estimated, "leave_one_out"),
    ),
    Classical(
        "kernelshap",
        "KernelSHAP",
        "Lundberg & Lee 2017, arXiv 1705.07874; Covert & Lee 2021, arXiv 2012.01536",
        _kernelshap,
    ),
    Classical(
        "permutation",
        "Permutation sampling",
        "Castro et al. 2009, 10.1016/j.cor.2008.04.004; Mitchell et al. 2022, JMLR 23(43)",
        partial(_estimated, "permutation"),
    ),
    Classical("banzhaf", "Data Banzhaf", "Wang & Jia 2023, arXiv 2205.15466", banzhaf),
)
