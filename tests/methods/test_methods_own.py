"""Methods that train nothing: the run's proxies, the published procedure, similarity, classical estimators."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from surrogateshap.errors import InterruptedRun
from surrogateshap.estimate.banzhaf import banzhaf
from surrogateshap.games.encoded import Bools, Floats
from surrogateshap.methods import CATALOGUE, load_method
from surrogateshap.methods.protocol import Scores
from surrogateshap.methods.task import Task
from tests.methods.conftest import CHANGES
from tests.tiny import Project

Tasks = Callable[..., Task]
TWINS = [1, 2]
"""`basil` and `basil-copy`: the same labels, other images."""


def run(task: Task, name: str) -> Scores:
    method = load_method(name)
    assert method.refuse(task) is None
    task.begin()
    return method.run(task)


def test_every_method_of_the_catalogue_can_be_loaded() -> None:
    for name in CATALOGUE:
        method = load_method(name)
        assert method.name == name
        assert method.title
        assert method.paper
    with pytest.raises(KeyError):
        load_method("nothing")


def test_the_runs_own_proxies_are_its_results(task: Tasks) -> None:
    one = task()
    for proxy in ("prompt", "image"):
        scores = run(one, f"{proxy}_proxy")
        for design in one.designs_of(proxy):
            name = design.info.utility
            assert scores.values[name] == pytest.approx(one.own_values(design))
            ends = scores.v[name](np.array([[False] * 5, [True] * 5]))
            assert scores.values[name].sum() == pytest.approx(ends[1] - ends[0])
        assert one.spent.images == len(one.designs_of(proxy)[0].pool.keys)
        assert one.spent.images == load_method(f"{proxy}_proxy").cost(one).images
        assert one.spent.seconds > 0
    twins = run(one, "prompt_proxy").values["right"][TWINS]
    assert twins[0] == pytest.approx(twins[1])


def test_classical_estimators_agree_with_their_definitions(task: Tasks) -> None:
    one = task()
    game = one.game(one.designs_of("image")[0])
    name = one.designs_of("image")[0].info.utility
    everybody = np.ones((1, 5), bool)
    left = float(game(everybody)[0]) - game(~np.eye(5, dtype=bool))
    assert run(one, "leave_one_out").values[name] == pytest.approx(left)
    own = one.own_values(one.designs_of("image")[0])
    assert run(one, "kernelshap").values[name] == pytest.approx(own)
    sampled = run(one, "permutation").values[name]
    assert sampled.sum() == pytest.approx(own.sum())
    assert np.corrcoef(sampled, own)[0, 1] > 0.9
    assert run(one, "banzhaf").values[name] == pytest.approx(brute_banzhaf(game, 5))


def brute_banzhaf(game: Callable[[Bools], Floats], n: int) -> list[float]:
    def v(members: tuple[int, ...]) -> float:
        return float(game(np.isin(np.arange(n), members)[None])[0])

    found = []
    for i in range(n):
        rest = [j for j in range(n) if j != i]
        gains = [v((*s, i)) - v(s) for size in range(n) for s in combinations(rest, size)]
        found.append(sum(gains) / len(gains))
    return found


def test_sampled_banzhaf_values_come_close_to_exact_ones() -> None:
    weights = np.arange(1.0, 11.0)

    def game(masks: Bools) -> Floats:
        return np.asarray(np.sqrt(masks @ weights))

    exact = banzhaf(game, 10, 1_024, 0)
    assert exact[:2] == pytest.approx(brute_banzhaf(game, 10)[:2])
    sampled = banzhaf(game, 10, 1_000, 0)
    assert np.abs(sampled - exact).max() < 0.35
    assert np.corrcoef(sampled, exact)[0, 1] > 0.9


def test_similarity_is_the_mean_cosine(task: Tasks) -> None:
    one = task()
    made = one.generated().images.reshape(24, -1).astype(float)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    wanted, most = [], []
    for contributor in range(5):
        own = one.images_of(one.own_rows(contributor)).reshape(6, -1).astype(float)
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        wanted.append((own @ made.T).mean())
        most.append((own @ made.T).max(axis=0) @ one.influence("right") / 24)
    scores = run(one, "pixel_similarity")
    assert scores.values["right"] == pytest.approx(wanted)
    assert scores.values["right"] == pytest.approx(scores.values["quality"])
    assert one.spent.images == 24
    other = task(changes={"compare.similarity": {"rows": "max", "images": "influence"}})
    assert run(other, "pixel_similarity").values["right"] == pytest.approx(most)
    features = one.rows_looked(3)[1]["eye.features"]
    assert features.shape[0] == 6
    assert run(one, "encoder_similarity").values["threes"].shape == (5,)


def test_own_utility_is_the_utility_of_the_training_images(task: Tasks) -> None:
    one = task()
    found = run(one, "own_utility").values
    for contributor in range(5):
        view = one.workshop.encode(one.encoder_of("threes"), one.images_of(one.own_rows(contributor)))
        threes = view.probabilities.argmax(axis=1) == one.encoder_of("threes").labels.index("three")
        assert found["threes"][contributor] == pytest.approx(threes.mean())
    assert one.spent.images == 0


def test_contributors_with_equal_data_get_equal_scores(tiny: Project) -> None:
    from surrogateshap.plan.compile import compile_spec
    from surrogateshap.store import Store

    frame = pl.read_parquet(tiny.folder / "data.parquet")
    basil = frame.filter(pl.col("owner") == "basil").with_columns(owner=pl.lit("basil-copy"))
    tiny.manifest(pl.concat([frame.filter(pl.col("owner") != "basil-copy"), basil]))
    results = tiny.apply({**CHANGES, "proxy": {"kind": "prompt"}})
    with Store.open(tiny.store) as store:
        one = Task(compile_spec(tiny.folder / "spec.toml"), store, results, "owner")
        for name in ("prompt_proxy", "leave_one_out", "kernelshap", "banzhaf", "pixel_similarity", "own_utility"):
            for values in run(one, name).values.values():
                assert values[1] == pytest.approx(values[2], abs=1e-9), name


def test_methods_that_need_images_say_so(task: Tasks) -> None:
    one = task()
    assert load_method("clip_similarity").refuse(one) == "no utility looks through an encoder of the kind `clip`"
    blind = task(changes={"contributors.image": None, "proxy": {"kind": "prompt"}, "utility": CHANGES["utility"][:1]})
    for name in ("pixel_similarity", "encoder_similarity", "own_utility"):
        assert load_method(name).refuse(blind) == "the manifest has no images"
    assert load_method("image_proxy").refuse(blind) == "the run has no image proxy"


def test_the_published_procedure_resumes_and_gives_the_same(task: Tasks) -> None:
    calls = iter(range(100))

    def check() -> None:
        if next(calls) == 5:
            raise InterruptedRun("interrupted")

    with pytest.raises(InterruptedRun):
        run(task(check=check), "surrogateshap_paper")
    one = task()
    resumed = run(one, "surrogateshap_paper")
    cost = load_method("surrogateshap_paper").cost(one)
    assert one.spent.images == cost.images == 6 * 6  # four coalitions, ∅ and N
    again = task()
    kept = run(again, "surrogateshap_paper")
    for name, values in resumed.values.items():
        assert values.shape == (5,)
        assert np.array_equal(values, kept.values[name])
    assert again.spent.images == one.spent.images
