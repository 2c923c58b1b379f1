import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogateshap.errors import VerificationError
from surrogateshap.record.folder import write_run_folder
from surrogateshap.record.results import ContributorFlags, Fidelity, Payout, PayoutShare, Results
from surrogateshap.record.statement import build_statement, checksum, statement_bytes
from surrogateshap.record.verify import verify
from tests.record.example import ENVIRONMENT, SPEC, plan, results


def subjects(outcome: Results) -> dict[str, bytes]:
    return {
        "spec.toml": SPEC,
        "plan.json": plan().model_dump_json(indent=1).encode(),
        "results.json": outcome.model_dump_json(indent=1).encode(),
        "coalitions.parquet": bytes(range(256)),
    }


def write(folder: Path, outcome: Results | None = None) -> Path:
    outcome = outcome or results()
    files = subjects(outcome)
    statement = build_statement(results=outcome, plan=plan(), subjects=files, environment=ENVIRONMENT)
    write_run_folder(folder, {**files, "record.json": statement_bytes(statement)})
    return folder / "record.json"


def rewrite(record: Path, statement: dict) -> None:
    """As a forger would: with a checksum that fits."""
    statement["predicate"]["checksum"] = checksum(statement)
    record.write_bytes(statement_bytes(statement))


def failed(record: Path) -> set[str]:
    """Names of the checks that fail, or the error's text where the record can't be read as one."""
    try:
        return set(failures(record))
    except VerificationError as error:
        return {str(error)}


def failures(record: Path) -> dict[str, str]:
    report = verify(record)
    found = {check.name: check.detail for check in report.checks if not check.holds}
    assert report.holds == (not found)
    return found


@pytest.fixture
def record(tmp_path):
    return write(tmp_path / "run")


def test_an_untouched_record_holds(record):
    report = verify(record)
    assert report.holds
    assert [check.name for check in report.checks] == [
        "record.json",
        "coalitions.parquet",
        "plan.json",
        "results.json",
        "spec.toml",
        "plan",
        "results",
        "efficiency of artist / quality / prompt",
        "efficiency of artist / quality / image",
    ]
    assert all(check.holds for check in report.checks)
    assert report.record == str(record)


@pytest.mark.parametrize(
    ("estimator", "holds"), [("exact", False), ("leave_one_out", True), ("surrogateshap_paper", True)]
)
def test_values_that_miss_the_whole_say_by_how_much(tmp_path, estimator, holds):
    """0.7 − 0.1 − 0.1 is 0.5, and v(N) − v(∅) is 0.6 here."""
    outcome = results()
    games = tuple(
        game.model_copy(update={"estimator": estimator, "v_full": 0.85, "efficiency_gap": 0.1})
        for game in outcome.games
    )
    record = write(tmp_path / "run", outcome.model_copy(update={"games": games}))
    assert verify(record).holds == holds
    wrong = tuple(game.model_copy(update={"efficiency_gap": 0.2}) for game in games)
    record = write(tmp_path / "wrong", outcome.model_copy(update={"games": wrong}))
    assert any(name.startswith("efficiency") for name in failures(record))


@pytest.mark.parametrize(("shares", "holds"), [((0.5, 0.5, 0), True), ((0.5, 0.4, 0), False), ((1.5, -0.5, 0), False)])
def test_shares_for_payment_add_up(tmp_path, shares, holds):
    outcome = results()
    first = outcome.games[0]
    names = [row.name for row in first.contributors]
    rows = tuple(
        PayoutShare(name=name, share=share, low=0, high=1, amount=None)
        for name, share in zip(names, shares, strict=True)
    )
    games = (first.model_copy(update={"payout": Payout(rule="r", shares=rows)}), outcome.games[1])
    record = write(tmp_path / "run", outcome.model_copy(update={"games": games}))
    assert set(failures(record)) == (set() if holds else {"payout of artist / quality / prompt"})
    games = (first.model_copy(update={"payout": Payout(rule="r", shares=rows[:2])}), outcome.games[1])
    assert failed(write(tmp_path / "fewer", outcome.model_copy(update={"games": games})))


def test_folder_stands_for_its_record(record):
    assert verify(record.parent) == verify(record)


def test_moved_folder_still_holds(record, tmp_path):
    record.parent.rename(tmp_path / "elsewhere")
    assert verify(tmp_path / "elsewhere" / "record.json").holds


@pytest.mark.parametrize("name", ["spec.toml", "plan.json", "results.json", "coalitions.parquet"])
def test_any_flipped_byte_of_a_file_is_found(record, name):
    path = record.parent / name
    data = path.read_bytes()
    for place in {*range(0, len(data), 37), len(data) - 1}:
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert failures(record)[name].startswith("changed: sha256 is")
    path.write_bytes(data + b"\n")
    assert name in failures(record)
    path.unlink()
    assert failures(record)[name] == "missing"


def test_any_flipped_byte_of_the_record_is_found(record):
    data = record.read_bytes()
    for place in range(0, len(data), 3):
        record.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert any("record.json" in text for text in failed(record))


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, child in value.items():
            yield from leaves(child, (*path, key))
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from leaves(child, (*path, index))
    else:
        yield path


def changed(value):
    match value:
        case bool() | None | []:
            return 1
        case str():
            return value[:-1] + ("0" if value[-1:] != "0" else "1")
        case _:
            return value + 1


def test_any_changed_field_of_the_record_is_found(record):
    statement = json.loads(record.read_bytes())
    for path in leaves(statement):
        damaged = copy.deepcopy(statement)
        parent = damaged
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = changed(parent[path[-1]])
        record.write_bytes(statement_bytes(damaged))
        said = failed(record)
        assert "record.json" in said or any(f"{path[0]}" in text for text in said)


CROSS_CHECKED = {
    "run": ["plan", "results"],
    "plan_id": ["plan", "results"],
    "name": ["plan", "results"],
    "inputs": ["plan"],
    "spec": ["plan"],
    "seeds": ["plan"],
    "games": ["results"],
    "fidelity": ["results"],
}


@pytest.mark.parametrize("field", CROSS_CHECKED)
def test_forged_field_is_found_in_the_files(record, field):
    statement = json.loads(record.read_bytes())
    for path in leaves(statement["predicate"][field], (field,)):
        forged = copy.deepcopy(statement)
        parent = forged["predicate"]
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = changed(parent[path[-1]])
        rewrite(record, forged)
        try:
            found = failures(record)
        except VerificationError:
            continue
        assert list(found) == CROSS_CHECKED[field]
        assert field in found[CROSS_CHECKED[field][0]]


@pytest.mark.parametrize("field", ["v_full", "v_empty"])
def test_forged_total_breaks_efficiency(tmp_path, field):
    honest = results()
    forged = honest.games[1].model_copy(update={field: 0.9})
    found = failures(write(tmp_path, honest.model_copy(update={"games": (honest.games[0], forged)})))
    assert list(found) == ["efficiency of artist / quality / image"]


@pytest.mark.parametrize(("error", "holds"), [(1e-12, True), (-4e-7, True), (2e-6, False), (-1e-3, False)])
def test_forged_value_breaks_efficiency(tmp_path, error, holds):
    honest = results()
    game = honest.games[0]
    first = game.contributors[0].model_copy(update={"value": 0.7 + error})
    forged = game.model_copy(update={"contributors": (first, *game.contributors[1:])})
    assert verify(write(tmp_path, honest.model_copy(update={"games": (forged,)}))).holds == holds


def anchored(**changes):
    honest = results()
    number = {"value": 0.9, "low": 0.8, "high": 0.95}
    fields = {
        "kind": "retrained",
        "anchors": 20,
        "spearman": number,
        "lds": number,
        "intercept": 0.0,
        "slope": 1.0,
        "calibration": [{"anchors": 20, "proxy": 0.1, "retrained": 0.2}],
        "closed": {
            "anchors": 20,
            "r2": number,
            "proxy_r2": 0.1,
            "contributors": [row.model_dump() for row in honest.games[0].contributors],
        },
    }
    measured = honest.games[0].model_copy(update={"fidelity": Fidelity.model_validate(fields | changes)})
    said = "measured on 20 anchors for 1 of 2 games"
    return honest.model_copy(update={"games": (measured, honest.games[1]), "fidelity": said})


def test_fidelity_is_checked(tmp_path):
    report = verify(write(tmp_path / "honest", anchored()))
    assert report.holds
    assert "fidelity" in [check.name for check in report.checks]
    number = {"value": 0.9, "low": 0.92, "high": 0.95}
    other = anchored().games[0].fidelity.closed.model_copy(update={"contributors": ()})
    forged = {
        "words": anchored().model_copy(update={"fidelity": "measured on 900 anchors for 2 of 2 games"}),
        "unsaid": anchored().model_copy(update={"fidelity": "not measured"}),
        "none": results().model_copy(update={"fidelity": "measured on 20 anchors for 1 of 2 games"}),
        "interval": anchored(lds=number),
        "above one": anchored(spearman={"value": 1.5, "low": 0.8, "high": 1.6}),
        "bins": anchored(calibration=[{"anchors": 19, "proxy": 0.1, "retrained": 0.2}]),
        "closed": anchored(closed=other),
    }
    for name, made in forged.items():
        assert list(failures(write(tmp_path / name, made))) == ["fidelity"], name


def test_efficiency_without_numbers_to_compare(tmp_path):
    game = results().games[0]
    none = game.model_copy(update={"contributors": (), "v_full": 0.25})
    assert verify(write(tmp_path / "none", results().model_copy(update={"games": (none,)}))).holds
    huge = [row.model_copy(update={"value": 1.7e308}) for row in game.contributors]
    big = game.model_copy(update={"contributors": tuple(huge)})
    assert not verify(write(tmp_path / "huge", results().model_copy(update={"games": (big,)}))).holds


def test_subject_left_out_or_named_twice(record):
    statement = json.loads(record.read_bytes())
    for name, check in (("results.json", "results"), ("plan.json", "plan")):
        short = copy.deepcopy(statement)
        short["subject"] = [subject for subject in short["subject"] if subject["name"] != name]
        rewrite(record, short)
        unnamed = "is there, and the record names no such file"
        assert failures(record) == {check: f"{name} is not there", name: unnamed}
    twice = copy.deepcopy(statement)
    twice["subject"].append(twice["subject"][0])
    rewrite(record, twice)
    assert failures(record) == {"record.json": "names a file twice"}


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "a\0b", ".x", "x" * 5000])
def test_names_that_leave_the_folder_are_refused(record, name):
    statement = json.loads(record.read_bytes())
    statement["subject"][0]["name"] = name
    rewrite(record, statement)
    with pytest.raises(VerificationError, match=r"subject\.0\.name"):
        verify(record)


def test_links_are_not_followed(record, tmp_path):
    path = record.parent / "spec.toml"
    path.rename(tmp_path / "spec.toml")
    path.symlink_to(tmp_path / "spec.toml")
    assert failures(record) == {"spec.toml": "a symbolic link, which is not followed"}
    path.unlink()
    path.symlink_to(tmp_path / "nothing")
    assert failures(record) == {"spec.toml": "a symbolic link, which is not followed"}


def test_pipes_and_folders_are_not_read(record):
    path = record.parent / "spec.toml"
    path.unlink()
    os.mkfifo(path)
    assert failures(record) == {"spec.toml": "not a regular file"}
    path.unlink()
    path.mkdir()
    assert failures(record) == {"spec.toml": "not a regular file"}
    record.unlink()
    os.mkfifo(record)
    with pytest.raises(VerificationError, match="not a regular file"):
        verify(record)


HOSTILE = {
    "empty": b"",
    "no JSON": b"\x80\x81",
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "list": b"[]",
    "null": b"null",
    "object": b"{}",
    "deep": b"[" * 100_000,
    "deep but complete": b"[" * 100_000 + b"]" * 100_000,
    "quite deep": b"[" * 60 + b"]" * 60,
    "infinity": b'{"predicate": Infinity}',
    "overflow": b'{"predicate": 1e999}',
    "digits": b"1" * 10_000,
    "surrogate": b'{"predicate": "\\ud800"}',
    "escape codes": b'{"\\u001b[31m": 1}',
    "two predicates": b'{"predicate": {"checksum": ""}, "predicate": 5}',
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_record_is_told(tmp_path, case):
    record = tmp_path / "record\x1b[31m.json"
    record.write_bytes(HOSTILE[case])
    with pytest.raises(VerificationError) as caught:
        verify(record)
    assert "\x1b" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize(("name", "check"), [("results.json", "results"), ("plan.json", "plan")])
def test_hostile_file_fails_its_check(record, case, name, check):
    (record.parent / name).write_bytes(HOSTILE[case])
    found = failures(record)
    assert list(found) == [name, check]
    assert "\x1b" not in "".join(found.values())


def test_missing_and_huge_records_are_told(tmp_path):
    with pytest.raises(VerificationError, match=r"record\.json: missing"):
        verify(tmp_path)
    with (tmp_path / "record.json").open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(VerificationError, match="larger than 64 MiB"):
        verify(tmp_path)


def test_strangers_names_are_shown_harmlessly(tmp_path):
    game = results().games[0].model_copy(update={"grouping": "g\x1b[31m\u202e", "v_full": 9.0})
    found = failures(write(tmp_path, results().model_copy(update={"games": (game,)})))
    [name] = found
    assert not {"\x1b", "\u202e"} & set(name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_other_error_whatever_a_field_holds(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    record = write(folder)
    name = data.draw(st.sampled_from(["record.json", "plan.json", "results.json"]))
    document = json.loads((folder / name).read_bytes())
    path = data.draw(st.sampled_from(list(leaves(document))))
    parent = document
    for key in path[: data.draw(st.integers(0, len(path) - 1))]:
        parent = parent[key]
    keys = list(parent) if isinstance(parent, dict) else range(len(parent))
    parent[data.draw(st.sampled_from(keys))] = data.draw(JSON)
    (folder / name).write_text(json.dumps(document))
    assert failed(record)


def test_verifying_is_light(record):
    code = (
        "import sys; from pathlib import Path; from surrogateshap.record.verify import verify;"
        "assert verify(Path(sys.argv[1])).holds; print([m for m in sys.argv[2:] if m in sys.modules])"
    )
    heavy = ["torch", "polars", "lightgbm", "shap", "numpy", "scipy", "diffusers"]
    said = subprocess.run([sys.executable, "-c", code, str(record), *heavy], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_flags_that_the_results_do_not_hold(tmp_path):
    flags = tuple(
        ContributorFlags(grouping="artist", name=name, images=9, conditional=0.5, unconditional=None, flags=words)
        for name, words in (("ada", ()), ("bob\x1b[31m", ("loss 2.0 times the others'",)))
    )
    record = write(tmp_path / "run", results().model_copy(update={"flags": flags}))
    assert verify(record).holds
    statement = json.loads(record.read_bytes())
    assert statement["predicate"]["flags"] == [
        {"grouping": "artist", "contributors": 2, "images": 18, "flagged": ["bob\x1b[31m"]}
    ]
    assert any("no value or rank rests on them" in limit for limit in statement["predicate"]["limits"])
    statement["predicate"]["flags"][0]["flagged"] = []
    rewrite(record, statement)
    assert failures(record) == {"results": "results.json and the record differ in flags"}
    without = json.loads(write(tmp_path / "other").read_bytes())
    assert without["predicate"]["flags"] == []
    assert not any("Flags are signs" in limit for limit in without["predicate"]["limits"])
