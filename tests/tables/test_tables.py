"""Tables of coalitions: what is read, what is refused, what is warned of, and the numbers that come out."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import surrogateshap
from surrogateshap import frames as reading
from surrogateshap.cli import main
from surrogateshap.errors import MissingExtraError, SpecError
from surrogateshap.estimate import all_masks, draw_pairs, exact_interactions, exact_shapley
from surrogateshap.games import coalition_shares
from surrogateshap.record.results import GameResult
from surrogateshap.tables import read_frame, read_rows

NAMES = ("ann", "bob", "cy", "dot", "eve", "fay")
ROWS = np.array([10, 40, 5, 20, 80, 20])
EVERY = all_masks(6)
SHARES = coalition_shares(EVERY, ROWS)
VALUES = 1 + SHARES @ np.arange(6.0) - np.square(SHARES @ np.array([1, -1, 2, 0, 0.5, 0]))
VALUES[0] = 0.25
TRUTH = exact_shapley(VALUES, 6)


def frame(rows: Any = slice(1, -1), **more: Any) -> pl.DataFrame:
    columns = {name: EVERY[rows, i] for i, name in enumerate(NAMES)}
    return pl.DataFrame({**columns, "value": VALUES[rows], **more})


def estimate(table: Any, **more: Any) -> GameResult:
    return surrogateshap.estimate_shapley(table, **({"empty": VALUES[0], "full": VALUES[-1]} | more))


def refused(table: Any, **more: Any) -> str:
    with pytest.raises(SpecError) as caught:
        estimate(table, **more)
    return str(caught.value)


def by_name(game: GameResult) -> list[float]:
    found = {one.name: one.value for one in game.contributors}
    return [found[name] for name in NAMES]


# What comes out


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("cells", ["booleans", "numbers"])
def test_each_format_gives_the_same_exact_values(tmp_path: Path, kind: str, cells: str) -> None:
    table = frame() if cells == "booleans" else frame().with_columns(pl.col(NAMES).cast(pl.Float64))
    path = tmp_path / "t.whatever"
    {"parquet": table.write_parquet, "csv": table.write_csv, "jsonl": table.write_ndjson}[kind](path)
    game = estimate(path)
    np.testing.assert_allclose(by_name(game), TRUTH, atol=1e-9)
    assert (game.estimator, game.coalitions, game.distinct, game.warnings) == ("exact", 62, 62, ())
    assert [one.rank for one in game.contributors] == [1, 2, 3, 4, 5, 6]
    assert all(one.low == one.value == one.high for one in game.contributors)
    assert all(one.rows is None for one in game.contributors)


def test_arrays_do_as_well() -> None:
    game = estimate(EVERY[1:-1].astype(int), values=VALUES[1:-1], names=NAMES, rows=ROWS)
    np.testing.assert_allclose(by_name(game), TRUTH, atol=1e-9)
    assert {one.name: one.rows for one in game.contributors} == dict(zip(NAMES, ROWS.tolist(), strict=True))
    assert {one.name for one in estimate(EVERY[1:-1], values=VALUES[1:-1]).contributors} == set("012345")


def test_the_surrogate_is_near_and_says_how_sure_it_is() -> None:
    masks = draw_pairs(6, 22, seed=0)
    seen = pl.DataFrame(masks, schema=list(NAMES)).with_columns(value=pl.Series(VALUES[masks @ (1 << np.arange(6))]))
    game = estimate(seen, rows=dict(zip(NAMES, ROWS.tolist(), strict=True)), interactions=True)
    assert game.estimator == "surrogate"
    assert game.surrogate is not None
    assert game.surrogate.cv_r2 > 0.9
    np.testing.assert_allclose(by_name(game), TRUTH, atol=0.05)
    assert sum(by_name(game)) == pytest.approx(VALUES[-1] - VALUES[0])
    assert all(one.sd_images == 0 < one.sd_coalitions and one.low < one.value < one.high for one in game.contributors)
    assert game.interactions is not None
    assert len(game.interactions) == 15
    truth = exact_interactions(VALUES, 6)
    for pair in game.interactions:
        assert pair.value == pytest.approx(truth[NAMES.index(pair.a), NAMES.index(pair.b)], abs=0.1)
    strengths = [abs(pair.value) for pair in game.interactions]
    assert strengths == sorted(strengths, reverse=True)


@pytest.mark.parametrize("estimator", ["exact", "kernel", "leave_one_out"])
def test_other_estimators(estimator: Any) -> None:
    game = estimate(frame(), estimator=estimator)
    assert game.estimator == estimator
    expected = VALUES[-1] - VALUES[-1 - (1 << np.arange(6))] if estimator == "leave_one_out" else TRUTH
    np.testing.assert_allclose(by_name(game), expected, atol=1e-9)
    assert any("no Shapley values" in warning for warning in game.warnings) == (estimator == "leave_one_out")
    assert (game.contributors[0].sd_coalitions > 0) == (estimator == "kernel")


def test_orderings_in_a_table() -> None:
    from surrogateshap.games.coalitions import draw_orderings

    masks = draw_orderings(6, 20_000, seed=0)
    values = VALUES[masks @ (1 << np.arange(6))]
    game = estimate(masks, values=values, names=NAMES, estimator="permutation")
    np.testing.assert_allclose(by_name(game), TRUTH, atol=0.1)
    assert all(one.sd_coalitions > 0 for one in game.contributors)
    assert "5 coalitions in a row" in refused(frame(), estimator="permutation")


def test_old_results_are_still_read() -> None:
    old = estimate(frame()).model_dump(mode="json", exclude={"distinct", "interactions", "warnings"})
    assert GameResult.model_validate(old, strict=False).warnings == ()


# Noise


def test_repeated_coalitions_are_pooled_and_their_noise_is_in_the_interval() -> None:
    rng = np.random.default_rng(0)
    inner = np.repeat(np.arange(1, 63), 4)
    values = VALUES[inner] + 0.3 * rng.normal(size=len(inner))
    game = estimate(EVERY[inner], values=values, names=NAMES)
    assert game.estimator == "exact"
    assert (game.coalitions, game.distinct) == (248, 62)
    assert len(game.warnings) == 1
    assert "62 coalitions have several values" in game.warnings[0]
    told = float(game.warnings[0].rstrip(".").split()[-1])
    assert told == pytest.approx(0.3, rel=0.15)
    # The variance of Σ w_S v(S) is known: Σ w_S² σ²/4.
    weights = exact_shapley(np.eye(64), 6)[1:-1, 0]
    expected = np.sqrt((weights**2).sum() * told**2 / 4)
    assert game.contributors[0].sd_coalitions == pytest.approx(expected, rel=0.25)


def test_repeated_equal_values_are_no_noise() -> None:
    game = estimate(pl.concat([frame(), frame()]))
    assert game.warnings == ()
    assert game.contributors[0].sd_coalitions == 0
    np.testing.assert_allclose(by_name(game), TRUTH, atol=1e-9)


# Warnings


def test_contributors_that_are_always_together_are_named_and_share_equally() -> None:
    masks = draw_pairs(6, 20, seed=1)
    masks[:, 3] = masks[:, 1]
    values = VALUES[masks @ (1 << np.arange(6))]
    game = estimate(masks, values=values, names=NAMES)
    assert game.indistinguishable == (("bob", "dot"),)
    found = {one.name: one for one in game.contributors}
    assert found["bob"].value == found["dot"].value
    assert found["bob"].low == found["dot"].low
    assert any("Always together" in warning and "bob, dot" in warning for warning in game.warnings)


def test_contributors_that_are_always_or_never_in_are_named() -> None:
    masks = EVERY[(EVERY[:, 0]) & ~EVERY[:, 5]]
    game = estimate(masks, values=VALUES[masks @ (1 << np.arange(6))], names=NAMES)
    assert any("In every coalition" in warning and warning.endswith("ann.") for warning in game.warnings)
    assert any("In no coalition" in warning and warning.endswith("fay.") for warning in game.warnings)


def test_few_coalitions_and_constant_values_are_warned_of() -> None:
    game = estimate(frame([1, 5, 9]))
    assert "There are fewer coalitions (3) than contributors (6)." in game.warnings
    flat = estimate(EVERY[1:-1], values=np.full(62, 2.0), names=NAMES)
    assert flat.warnings == ("All coalitions have the same value, 2.",)
    np.testing.assert_allclose(by_name(flat), (VALUES[-1] - VALUES[0]) / 6)


@pytest.mark.parametrize("n", [1, 2])
def test_one_and_two_contributors(n: int) -> None:
    game = estimate(all_masks(n)[1:], values=[3.0, 4.0, 7.0][: 2**n - 1], empty=1.0, full=None)
    assert [one.value for one in game.contributors] == ([2.0] if n == 1 else [3.5, 2.5])
    assert ("one contributor" if n == 1 else "two contributors") in game.warnings[0]


# The two ends


def test_ends_may_be_rows_and_must_agree() -> None:
    whole = frame(slice(None))
    game = estimate(whole, empty=None, full=None)
    assert (game.v_empty, game.v_full, game.coalitions) == (VALUES[0], VALUES[-1], 62)
    assert by_name(game) == by_name(estimate(whole))
    told = refused(whole, empty=0.5)
    assert "row 1 says that v(∅) is 0.25, --empty says 0.5" in told
    assert "row 64 says that v(N)" in refused(whole, full=9.0)
    assert "v(∅) is not in the table" in refused(frame(), empty=None)
    assert "--full is nan" in refused(frame(), full=float("nan"))


# Refusals


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.rename({"value": "valeu"}), "Did you mean `valeu`?"),
        (lambda t: t.rename({"value": "value.u.image"}), "Name it with --value: value.u.image."),
        (lambda t: t.select("value"), "there is no column of a contributor"),
        (lambda t: t.with_columns(value=pl.lit(None, dtype=pl.Float64)), "row 1, 2, 3, 4, 5 and 57 others"),
        (lambda t: t.with_columns(value=pl.lit("much")), "no finite number in row 1, 2"),
        (
            lambda t: t.with_columns(value=pl.Series([1.0] * 7 + [float("inf")] + [1.0] * 54)),
            "no finite number in row 8",
        ),
        (lambda t: t.with_columns(bob=pl.lit("maybe")), "bob: row 1: `maybe` is neither 0 nor 1"),
        (lambda t: t.with_columns(bob=pl.Series([0, 1, 2] + [0] * 59)), "bob: row 3: `2` is neither 0 nor 1"),
        (lambda t: t.with_columns(bob=pl.Series([True, None] + [True] * 60)), "bob: row 2: an empty cell"),
    ],
)
def test_bad_columns(change: Callable[[pl.DataFrame], pl.DataFrame], told: str) -> None:
    assert told in refused(change(frame()))


def test_every_bad_column_is_told_at_once() -> None:
    told = refused(frame().with_columns(bob=pl.lit("x"), eve=pl.lit(7)))
    assert "bob: row 1" in told
    assert "eve: row 1" in told


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "it is not a table"),
        (b"PAR1 and then nothing", "it is not a table"),
        (b'{"a": 1', "it is not a table"),
        (b"a,b,value\n1,0\n1,1,1,1,1\n", "it is not a table"),
        (b"a,a,value\n1,0,1\n", "column name appear more than once: a"),
        (b"a,b,value\n", "it has no rows"),
        (b"a,b,value\n0,0,0.25\n", "no coalition in it but"),
    ],
)
def test_what_is_no_table(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    assert told in refused(path)


def test_no_file_a_folder_and_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "missing" in refused(tmp_path / "none.csv")
    assert "not a regular file" in refused(tmp_path)
    assert "not a regular file" in refused(tmp_path / "pipe.csv")


def test_tables_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t"
    for limit, most in (("MOST_ROWS", 61), ("MOST_COLUMNS", 6), ("MOST_BYTES", 100)):
        for write in (pl.DataFrame.write_csv, pl.DataFrame.write_parquet, pl.DataFrame.write_ndjson):
            write(frame(), path)
            with monkeypatch.context() as patch:
                patch.setattr(reading, limit, most)
                assert "the most" in refused(path) or "larger than" in refused(path)
    assert "1,001 contributors" in refused(np.eye(1_001, dtype=bool), values=np.zeros(1_001))


@pytest.mark.parametrize(
    ("masks", "values", "more", "told"),
    [
        ([1, 0], [1.0, 2.0], {}, "(M, n) and (M,) are needed"),
        ([[1, 0]], [1.0, 2.0], {}, "(M, n) and (M,) are needed"),
        ([[1, 0], [0, 3]], [1.0, 2.0], {}, "row 2, column 2: 3 is neither 0 nor 1"),
        ([[1, 0]], [1.0], {"names": ["a"]}, "2 contributors need 2 different names"),
        ([[1, 0]], [1.0], {"names": ["a", "a"]}, "2 contributors need 2 different names"),
        ([[1, 0]], [1.0], {"rows": [1, 0]}, "rows must be 2 whole numbers"),
        ([[1, 0]], [1.0], {"rows": {"0": 1}}, "no number of rows for 1"),
        ([[1, 0]], [1.0], {"level": 1.0}, "level 1.0"),
        ([[1, 0]], [1.0], {"estimator": "exact"}, "needs all 2 coalitions but ∅ and N; 1 are there"),
        ([[1, 0]], [1.0], {"estimator": "leave_one_out", "names": ["a", "b"]}, "1 of 2 are not there: a"),
        ([[1, 0]], [1.0], {"estimator": "kernel", "interactions": True}, "`kernel` knows no interactions"),
    ],
)
def test_bad_arrays(masks: Any, values: Any, more: dict[str, Any], told: str) -> None:
    assert told in refused(masks, values=values, **more)


def test_other_games_of_a_run_are_no_contributors(tmp_path: Path) -> None:
    path = tmp_path / "coalitions.parquet"
    renamed = frame().rename({"value": "value.quality.image"})
    renamed.with_columns(pl.lit(float("nan")).alias("value.quality.prompt")).write_parquet(path)
    game = estimate(path, value="value.quality.image")
    np.testing.assert_allclose(by_name(game), TRUTH, atol=1e-9)
    assert game.utility == "value.quality.image"


def test_rows_from_a_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("grouping,name,rows\ng,ann,3\nh,ann,3\ng,bob,5\n")
    assert read_rows(path) == {"ann": 3, "bob": 5}
    path.write_text("name,rows\nann,3\nann,4\n")
    with pytest.raises(SpecError, match="row 2: ann has 4 rows here and 3 before"):
        read_rows(path)
    path.write_text("name,rows\nann,none\n")
    with pytest.raises(SpecError, match="row 1: none is no number of rows"):
        read_rows(path)
    path.write_text("name,count\nann,3\n")
    with pytest.raises(SpecError, match="no column `rows`"):
        read_rows(path)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    with suppress(SpecError):
        assert read_frame(path).height > 0


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 5), rows=st.integers(1, 12), seed=st.integers(0, 2**32), spread=st.sampled_from([0.0, 1, 1e80]))
def test_any_small_table_is_efficient_or_refused(n: int, rows: int, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    masks, values = rng.random((rows, n)) < 0.5, spread * rng.normal(size=rows)
    masks = masks[(masks.any(axis=1)) & ~masks.all(axis=1)]
    if n > 1 and len(masks) == 0:
        assert "no coalition in it but" in refused(masks, values=[])
        return
    game = estimate(masks, values=values[: len(masks)], empty=-1.0, full=spread)
    assert sum(one.value for one in game.contributors) == pytest.approx(spread + 1, rel=1e-6, abs=1e-6 * spread)
    assert all(np.isfinite([one.value, one.low, one.high]).all() for one in game.contributors)


def test_rows_without_a_value_of_this_game_are_left_out(tmp_path: Path) -> None:
    other = pl.Series("value.b.image", [1.0, None] * 31 + [3.0] * (frame().height - 62))
    table = frame().rename({"value": "value.a.image"}).with_columns(other)
    whole = estimate(table, value="value.a.image")
    assert whole.contributors == estimate(frame()).contributors
    some = estimate(table, value="value.b.image", estimator="kernel", empty=0.0, full=3.0)
    assert some.coalitions == frame().height - 31
    table.write_csv(tmp_path / "t.csv")
    read = estimate(tmp_path / "t.csv", value="value.b.image", estimator="kernel", empty=0.0, full=3.0)
    assert read.contributors == some.contributors
    with pytest.raises(SpecError, match="no finite number in row 2"):
        estimate(table.rename({"value.b.image": "worth"}).drop("value.a.image"), value="worth")
    with pytest.raises(SpecError, match="no row has a value"):
        estimate(table.with_columns(pl.lit(None, pl.Float64).alias("value.b.image")), value="value.b.image")


def test_shares_for_payment_from_a_table() -> None:
    game = estimate(frame(), payout=100)
    assert game.payout is not None
    assert sum(round((one.amount or 0) * 100) for one in game.payout.shares) == 10_000
    for one, paid in zip(game.contributors, game.payout.shares, strict=True):
        total = sum(max(row.value, 0) for row in game.contributors)
        assert (paid.name, paid.share) == (one.name, pytest.approx(max(one.value, 0) / total))
        assert paid.low == paid.share == paid.high  # every coalition, no noise
    unsure = estimate(frame().head(40), payout=100, estimator="kernel").payout
    assert unsure is not None
    assert any(one.low < one.share < one.high for one in unsure.shares)
    lost = estimate(frame(), payout=100, estimator="leave_one_out")
    assert "rest on values that are no Shapley values" in lost.warnings[-1]
    with pytest.raises(SpecError, match="two decimals at most"):
        estimate(frame(), payout=0.125)


# The command


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    code = main(["estimate", *map(str, arguments)])
    return (code, *capsys.readouterr())


def test_the_command_prints_a_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "t.csv", tmp_path / "out.json"
    frame().write_csv(path)
    ends = ("--empty", VALUES[0], "--full", VALUES[-1])
    code, text, err = run(capsys, path, *ends, "--top", 2, "--interactions")
    assert (code, err) == (0, "")
    assert "table / value / table" in text
    assert "exact, 62 coalitions\n" in text
    assert "4 contributors more, not shown" in text
    assert "13 weaker pairs more, not shown" in text
    assert "Paid to" not in text
    assert "Paid to" in run(capsys, path, *ends, "--payout", 12.5)[1]
    code, text, err = run(capsys, path, *ends, "--json", "--top", 3, "-o", out)
    assert (code, text, err) == (0, "", "")
    found = json.loads(out.read_text())
    assert [one["rank"] for one in found["contributors"]] == [1, 2, 3]
    assert GameResult.model_validate(found, strict=False).estimator == "exact"
    code, text, err = run(capsys, path, *ends, "-o", tmp_path / "none" / "x")
    assert (code, text) == (1, "")
    assert "can't be written" in err


def test_the_command_refuses_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,value\nmaybe,1\n")
    code, text, err = run(capsys, path, "--empty", 0, "--full", 1)
    assert (code, text) == (2, "")
    assert "a: row 1: `maybe` is neither 0 nor 1" in err
    assert "Traceback" not in err


def test_hostile_names_are_shown_harmlessly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.jsonl"
    hostile = "\x1b[2J[red]\u202ex"
    path.write_text(
        "\n".join(json.dumps({hostile: a, "[/b]": b, "value": a + b}) for a, b in ((0, 1), (1, 0), (1, 0), (1, 0)))
    )
    for more in ((), ("--json",), ("--value", "\x1b[2Jvalue")):
        _, text, err = run(capsys, path, "--empty", 0, "--full", 2, "--interactions", *more)
        assert "\x1b" not in text + err
        assert "\u202e" not in text + err
    assert "[/b]" in run(capsys, path, "--empty", 0, "--full", 2)[1]


def test_a_missing_package_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(MissingExtraError):
        estimate(frame(), estimator="surrogateshap_paper")
    path = tmp_path / "t.csv"
    frame().write_csv(path)
    code, _, err = run(capsys, path, "--empty", 0.25, "--full", 3, "--estimator", "surrogateshap_paper")
    assert code == 4
    assert 'pip install "surrogateshap[bench]"' in err


def test_the_command_knows_every_estimator() -> None:
    from surrogateshap.cli.estimate import ESTIMATORS
    from surrogateshap.estimate import ESTIMATORS as THERE

    assert tuple(THERE) == ESTIMATORS
