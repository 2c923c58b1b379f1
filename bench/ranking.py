"""What drawing a ranking of many contributors takes in the terminal UI: milliseconds per key, on no real terminal.

    python bench/ranking.py                        # ten thousand contributors
    python bench/ranking.py --contributors 1000    # fewer

Each figure is the time from a key to the end of the repaint that follows it, the median of five. `show` is the time of
a ranking with new values, as they come while a run goes on.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from surrogateshap_tui.state import Grade, Place, Ranking
from surrogateshap_tui.widgets.ranking_table import RankingTable
from textual.app import App, ComposeResult

from surrogateshap.events import GameInfo

_KEYS = ("j", "pagedown", "G", "g", "o")


class Bench(App[None]):
    """Nothing but the table."""

    def compose(self) -> ComposeResult:
        """See App."""
        yield RankingTable()


def ranking(contributors: int, shift: float) -> Ranking:
    """Made-up values."""
    places = tuple(
        Place(at + 1, f"contributor-{at:06d}", 1 - at / contributors + shift, 0.5, 1.5, at, at + 2, 100, 1e-4)
        for at in range(contributors)
    )
    game = GameInfo(grouping="artist", utility="aesthetics", proxy="image")
    return Ranking(game, Grade.PROVISIONAL, 1000, places)


async def timed(work: Callable[[], Awaitable[None]]) -> float:
    """Milliseconds, the median of five."""
    found = []
    for _ in range(5):
        began = time.perf_counter()
        await work()
        found.append(1000 * (time.perf_counter() - began))
    return statistics.median(found)


async def main(contributors: int) -> None:
    """Prints a line per key."""
    app = Bench()
    async with app.run_test(size=(120, 40)) as pilot:
        table = app.query_one(RankingTable)
        table.focus()
        rankings = [ranking(contributors, shift / 100) for shift in range(5)]
        began = time.perf_counter()
        table.show(rankings[0])
        await pilot.pause()
        print(f"first show {1000 * (time.perf_counter() - began):.0f} ms, {contributors:,} contributors")

        async def show() -> None:
            table.show(rankings.pop())
            await pilot.pause()

        async def nothing() -> None:
            await pilot.press("f12")
            await pilot.pause()

        async def press(key: str) -> None:
            await pilot.press(key)
            await pilot.pause()

        print(f"show       {await timed(show):.0f} ms")
        idle = await timed(nothing)
        print(f"no repaint {idle:.0f} ms, contained in each of these:")
        for key in _KEYS:

            async def one(key: str = key) -> None:
                await press(key)

            print(f"{key:<10} {await timed(one):.0f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contributors", type=int, default=10_000)
    asyncio.run(main(parser.parse_args().contributors))
