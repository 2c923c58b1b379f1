import csv
import io
import json
from pathlib import Path

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, Group

from surrogateshap.record.results import Results
from surrogateshap.report import (
    COLUMNS,
    UnknownGameError,
    fidelity_table,
    overview,
    select,
    table,
    to_csv,
    to_json,
    to_markdown,
    to_parquet,
)
from surrogateshap.report.data import PAYOUT_COLUMNS
from surrogateshap.report.table import BAR, bar
from tests.samples import (
    HOSTILE,
    anchored_results,
    contributor,
    game,
    golden,
    hostile_results,
    paying_results,
    peaceful_results,
)

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = pytest.mark.parametrize(
    ("name", "results"),
    [("peaceful", peaceful_results()), ("anchored", anchored_results()), ("hostile", hostile_results())],
)


def shown(results: Results, width: int = 80, **more: object) -> str:
    return shown_as(table(results, **more), width)  # type: ignore[arg-type]


def shown_as(group: Group, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False, emoji=False)
    console.print(group)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@SAMPLES
def test_table(name: str, results: Results) -> None:
    text = shown(results)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert all(character.isprintable() or character == "\n" for character in text)
    golden(GOLDEN / f"{name}.txt", text)


@SAMPLES
def test_overview(name: str, results: Results) -> None:
    text = shown_as(overview(results))
    assert max(map(cell_len, text.splitlines())) <= 80
    assert all(character.isprintable() or character == "\n" for character in text)
    golden(GOLDEN / f"{name}-overview.txt", text)


@SAMPLES
def test_fidelity_table(name: str, results: Results) -> None:
    text = shown_as(fidelity_table(results))
    assert max(map(cell_len, text.splitlines())) <= 80
    assert all(character.isprintable() or character == "\n" for character in text)
    golden(GOLDEN / f"{name}-fidelity.txt", text)


@SAMPLES
def test_markdown(name: str, results: Results) -> None:
    golden(GOLDEN / f"{name}.md", to_markdown(results))


@SAMPLES
def test_csv(name: str, results: Results) -> None:
    golden(GOLDEN / f"{name}.csv", to_csv(results))


@SAMPLES
def test_json(name: str, results: Results) -> None:
    golden(GOLDEN / f"{name}.json", to_json(results))


@SAMPLES
def test_json_reads_back_exactly(name: str, results: Results) -> None:
    text = to_json(results)
    assert Results.model_validate_json(text) == results
    assert all(character.isprintable() or character == "\n" for character in text)
    assert list(json.loads(text)) == list(Results.model_fields)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_any_name_survives_json(name: str) -> None:
    results = Results(run="r", plan_id="p", name="n", games=(game((contributor(name, 1, 1.0, 0.5),)),))
    assert json.loads(to_json(results))["games"][0]["contributors"][0]["name"] == name


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_any_name_is_one_harmless_csv_cell(name: str) -> None:
    results = Results(run="r", plan_id="p", name="n", games=(game((contributor(name, 1, 1.0, 0.5),)),))
    header, row = csv.reader(io.StringIO(to_csv(results), newline=""))
    assert tuple(header) == COLUMNS
    cell = row[COLUMNS.index("name")]
    assert not cell or cell.strip()[:1] not in {"=", "+", "-", "@"}
    assert len(row) == len(COLUMNS)


def test_csv_keeps_numbers_as_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(peaceful_results()))))
    assert [float(row["value"]) for row in rows] == [1.25, 0.75, 0.0625, -0.0625, 120.5, -120.5]
    assert rows[3]["low"] == "-0.1875"
    assert rows[4]["share"] == ""
    assert {row["fidelity"] for row in rows} == {"not measured"}


def test_csv_defuses_every_start_of_a_formula() -> None:
    for start in ("=", "+", "-", "@", "\t", "\r", "  =", "＝"):
        results = Results(run="r", plan_id="p", name="n", games=(game((contributor(f"{start}1", 1, 1.0, 0.5),)),))
        assert next(csv.DictReader(io.StringIO(to_csv(results))))["name"].startswith("'")


def test_parquet_holds_exact_names_and_types(tmp_path: Path) -> None:
    to_parquet(hostile_results(), tmp_path / "out.parquet")
    frame = polars.read_parquet(tmp_path / "out.parquet")
    assert frame.columns == [*COLUMNS, "v_empty", "v_full"]
    assert frame["name"].to_list() == list(HOSTILE)
    assert frame["rank"].dtype == polars.Int64
    assert frame["v_full"].to_list() == [2.125] * len(HOSTILE)
    assert set(frame["fidelity"]) == {"not measured"}


def test_parquet_keeps_types_where_no_share_is_known(tmp_path: Path) -> None:
    to_parquet(select(peaceful_results(), game="quality"), tmp_path / "out.parquet")
    frame = polars.read_parquet(tmp_path / "out.parquet")
    assert frame["share"].dtype == polars.Float64
    assert frame["share"].to_list() == [None, None]


def test_markdown_has_as_many_cells_in_every_row() -> None:
    rows = [line for line in to_markdown(hostile_results()).splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {8, 6}
    assert "<" not in to_markdown(hostile_results())


def test_select_filters_games_and_cuts_ranks() -> None:
    chosen = select(peaceful_results(), game="QUALITY", top=1)
    assert [(one.utility, len(one.contributors)) for one in chosen.games] == [("quality", 1)]
    assert select(peaceful_results(), game="artist / aes").games[0].grouping == "artist"
    assert select(peaceful_results()) == peaceful_results()


def test_select_cuts_the_retraining_game_too() -> None:
    chosen = select(anchored_results(), top=2).games[0]
    assert chosen.fidelity is not None
    assert chosen.fidelity.closed is not None
    assert [row.rank for row in chosen.fidelity.closed.contributors] == [1, 2]


def test_an_unknown_game_is_told_with_those_there_are() -> None:
    with pytest.raises(UnknownGameError) as caught:
        table(peaceful_results(), game="\x1b[2Jx")
    assert "artist / aesthetics / image; label / quality / prompt" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_the_table_says_how_many_it_leaves_out() -> None:
    text = shown(peaceful_results(), top=3, game="artist")
    assert "Zoë" in text
    assert "1 contributor more, not shown" in text
    assert "quality" not in text
    assert "not shown" not in shown(peaceful_results(), top=4, game="artist")


def test_flags_come_first_and_as_many_others_as_asked_for() -> None:
    text = shown(peaceful_results(), top=1, game="artist")
    table = text[text.index("artist: denoising loss") :]
    places = [table.find(name) for name in ("Hokusai", "noise", "Zoë")]
    assert places == sorted(places)
    assert "Hilma" not in table
    assert "1 contributor more without flags, not shown" in table
    assert "label: denoising loss" not in text
    assert {one.grouping for one in select(peaceful_results(), game="quality").flags} == {"label"}


def test_wide_terminals_show_names_whole() -> None:
    results = Results(run="r", plan_id="p", name="n", games=(game((contributor("x" * 150, 1, 1.0, 0.5),)),))
    assert "x" * 150 in shown(results, width=250)
    assert "x" * 150 not in shown(results)


@pytest.mark.parametrize(
    ("numbers", "drawn"),
    [
        ((1.0, 1.0, 1.0, 0.0, 1.0), "│        ●"),
        ((0.0, 0.0, 0.0, 0.0, 9.0), "●         "),
        ((-1.0, -4.0, 2.0, -4.0, 5.0), "───●┼──   "),
        ((5.0, 1.0, 3.0, 0.0, 9.0), "│─── ●    "),
        ((0.0, 0.0, 0.0, 0.0, 0.0), "●         "),
    ],
)
def test_bar(numbers: tuple[float, float, float, float, float], drawn: str) -> None:
    assert bar(*numbers, width=10) == drawn


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_bars_are_as_wide_as_promised(numbers: list[float]) -> None:
    low, value, high = sorted(numbers)
    assert len(bar(value, low, high, min(0.0, low), max(0.0, high))) == BAR


def test_payments_and_pairs_in_a_table() -> None:
    text = shown(paying_results())
    assert max(map(cell_len, text.splitlines())) <= 80
    assert all(character.isprintable() or character == "\n" for character in text)
    golden(GOLDEN / "paying.txt", text)


def test_payments_and_pairs_in_markdown() -> None:
    text = to_markdown(paying_results())
    golden(GOLDEN / "paying.md", text)
    for columns in (3, 4, 7):
        rows = [line for line in text.splitlines() if line.replace("\\|", "").count("|") == columns + 1]
        assert len(rows) >= 4
    assert "<" not in text


def test_payments_are_columns_where_there_are_some(tmp_path: Path) -> None:
    paying = paying_results()
    both = paying.model_copy(update={"games": (*paying.games, *peaceful_results().games)})
    rows = list(csv.DictReader(io.StringIO(to_csv(both))))
    assert tuple(rows[0]) == (*COLUMNS, *PAYOUT_COLUMNS)
    assert [rows[1][column] for column in PAYOUT_COLUMNS] == ["0.1", "0.0", "0.25", "1234.5"]
    assert [rows[-1][column] for column in PAYOUT_COLUMNS] == [""] * 4
    to_parquet(both, tmp_path / "out.parquet")
    frame = polars.read_parquet(tmp_path / "out.parquet")
    assert frame.columns == [*COLUMNS, "v_empty", "v_full", *PAYOUT_COLUMNS]
    assert frame["payout_amount"].to_list()[:2] == [0.0, 1234.5]
    assert frame["payout_share"].dtype == polars.Float64
    assert frame["payout_share"].null_count() == 6
    chosen = select(both, top=2).games[0]
    assert chosen.payout is not None
    assert [one.name for one in chosen.payout.shares] == [one.name for one in chosen.contributors]
