"""The digits example as a user runs it, with a smaller budget: what its README promises comes out."""

from pathlib import Path

import pytest

from surrogateshap import api
from surrogateshap.record.results import ContributorResult, Results

SPEC = Path(__file__).parents[2] / "specs" / "digits.toml"
TWINS = {"noisy": "noisy-twin", "mislabelled": "mislabelled-twin"}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = SPEC.read_text()
    first, _, rest = text.partition('[[utility]]\nname = "confident-tail"')
    assert rest
    smaller = first + "[budget]\nimages_per_contributor = 60\n[intervals]\nresamples = 100\n[execution]\nthreads = 1\n"
    path = tmp_path_factory.mktemp("digits") / "digits.toml"
    path.write_text(smaller)
    return path


@pytest.fixture(scope="module")
def results(spec: Path) -> Results:
    return api.apply(spec)


def ranking(results: Results, utility: str, proxy: str) -> dict[str, ContributorResult]:
    (game,) = (
        game for game in results.games if (game.grouping, game.utility, game.proxy) == ("contributor", utility, proxy)
    )
    return {row.name: row for row in game.contributors}


def test_the_plan_warns_of_the_twins(spec: Path) -> None:
    warnings = "\n".join(api.plan(spec).warnings)
    for bad, twin in TWINS.items():
        assert f"{bad}, {twin}" in warnings


@pytest.mark.parametrize("utility", ["quality", "recognisable"])
@pytest.mark.parametrize("bad", TWINS)
def test_the_prompt_proxy_cannot_tell_the_twins_apart(results: Results, utility: str, bad: str) -> None:
    rows = ranking(results, utility, "prompt")
    assert rows[bad].value == pytest.approx(rows[TWINS[bad]].value, abs=1e-9)
    assert rows[bad].rank == rows[TWINS[bad]].rank


@pytest.mark.parametrize("bad", TWINS)
def test_the_image_proxy_ranks_bad_data_below_its_twin(results: Results, bad: str) -> None:
    rows = ranking(results, "recognisable", "image")
    assert rows[bad].high < rows[TWINS[bad]].low
    assert rows[bad].rank >= 13


def test_a_frechet_distance_sees_noise_and_no_labels(results: Results) -> None:
    quality = ranking(results, "quality", "image")
    assert quality["noisy"].high < quality["noisy-twin"].low
    assert quality["noisy"].rank == 14
    assert quality["mislabelled"].rank < 13


def test_every_game_sums_to_its_gain(results: Results) -> None:
    assert len(results.games) == 8
    for game in results.games:
        assert sum(row.value for row in game.contributors) == pytest.approx(game.v_full - game.v_empty, abs=1e-9)
