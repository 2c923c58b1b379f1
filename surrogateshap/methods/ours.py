"""The run's own values: SurrogateSHAP's mixture games under the prompt and the image proxy."""

from dataclasses import dataclass

from surrogateshap.games import MixtureGame
from surrogateshap.methods.protocol import Cost, Method, Scores
from surrogateshap.methods.task import Task


@dataclass(frozen=True)
class Proxy:
    """What the run says under one of its proxies; nothing is computed anew."""

    name: str
    title: str
    proxy: str
    paper: str = "Shapley values of mixture games on one pool, after SurrogateSHAP, arXiv 2601.22276"

    def refuse(self, task: Task) -> str | None:
        """Where the run has not this proxy."""
        return None if task.designs_of(self.proxy) else f"the run has no {self.proxy} proxy"

    def cost(self, task: Task) -> Cost:
        """The run's pool."""
        design = task.designs_of(self.proxy)[0]
        return Cost(images=len(design.pool.keys), seconds=task.seconds_of_pool(design) or 0.0)

    def run(self, task: Task) -> Scores:
        """From the run's results; v of the run's own game."""
        designs = task.designs_of(self.proxy)
        task.count_pool(designs[0])
        games = {design.info.utility: task.game(design) for design in designs}
        return Scores(
            values={design.info.utility: task.own_values(design) for design in designs},
            v={name: game for name, game in games.items() if isinstance(game, MixtureGame)},
        )


METHODS: tuple[Method, ...] = (
    Proxy("prompt_proxy", "Prompt proxy, this run", "prompt"),
    Proxy("image_proxy", "Image proxy, this run", "image"),
)
