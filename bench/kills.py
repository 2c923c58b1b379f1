"""Kills `apply` at random moments, again and again until it is done, and compares what it comes to.

    python bench/kills.py --times 200

A tiny spec with two proxies is applied in a process that gets SIGKILL after a random time, then in another one, and so
on until one ends before its time. The run's folder must hold the same bytes as that of a run that nobody disturbed;
the store must be whole, and have nothing in it that the run doesn't need but what a kill left half done.
"""

import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from surrogateshap import api
from tests.execute.killed import attempt, came_to, in_child, random_chain
from tests.execute.test_execute_resume import SMALL
from tests.tiny import Project, build


@click.command()
@click.option("--times", type=click.IntRange(min=1), default=200, show_default=True, help="Kills, at least.")
@click.option("--seed", default=0, show_default=True, help="Of the moments.")
def main(times: int, seed: int) -> None:
    """Prints how many kills there were, where, and whether all stores came to the same."""
    rng, places, chains, freed = random.Random(seed), Counter[str](), Counter[int](), Counter[str]()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        master = folder / "master"
        master.mkdir()
        in_child(lambda: build(master) or 0)  # a process that has used torch can't be forked
        spec = Project(master, folder / "project").spec(SMALL | {"execution.batch_size": 8})
        attempt(spec, folder / "whole")
        whole, start = came_to(folder / "whole"), time.monotonic()
        attempt(spec, folder / "timed")
        longest = time.monotonic() - start
        while sum(places.values()) < times:
            store = folder / "store"
            killed = random_chain(spec, store, longest, rng)
            places.update(killed)
            chains[len(killed)] += 1
            if came_to(store) != whole:
                raise SystemExit(f"after {len(killed)} kills ({', '.join(killed)}) the run came to something else")
            done = api.gc(store=store, check=True)
            freed.update({kind.kind: kind.files for kind in done.kinds})
            if "damaged objects" in freed:
                raise SystemExit(f"after {len(killed)} kills ({', '.join(killed)}) an object is damaged")
            shutil.rmtree(store)
    print(f"{sum(places.values())} kills in {sum(chains.values())} runs, {time.monotonic() - began:.0f} s")
    print(f"An attempt that nobody disturbs takes {longest:.2f} s; kills came after 0 to {longest:.2f} s")
    print("Kills per run: " + ", ".join(f"{kills}: {runs}" for kills, runs in sorted(chains.items())))
    print("Killed in: " + ", ".join(f"{place} {number}" for place, number in places.most_common()))
    print("Left over: " + (", ".join(f"{kind} {number}" for kind, number in sorted(freed.items())) or "nothing"))
    print("All runs came to the same bytes, and no object was damaged.")


if __name__ == "__main__":
    main()
