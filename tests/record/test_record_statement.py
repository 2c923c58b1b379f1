import hashlib
import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from surrogateshap.errors import RunError
from surrogateshap.record import folder as folder_module
from surrogateshap.record.folder import write_run_folder
from surrogateshap.record.results import ClosedGap, Fidelity, Measured
from surrogateshap.record.statement import Environment, build_statement, limits_of, statement_bytes
from tests.record.example import ENVIRONMENT, game, plan, results

SUBJECTS = {"spec.toml": b"spec", "coalitions.parquet": b"PAR1"}


def statement(**changes):
    arguments = {"results": results(), "plan": plan(), "subjects": SUBJECTS, "environment": ENVIRONMENT}
    return build_statement(**(arguments | changes))


def test_is_an_in_toto_statement():
    made = statement()
    assert set(made) == {"_type", "subject", "predicateType", "predicate"}
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://surrogateshap.dev/attestation/contributor-values/v1"
    assert made["subject"] == [
        {"name": name, "digest": {"sha256": hashlib.sha256(SUBJECTS[name]).hexdigest()}}
        for name in ("coalitions.parquet", "spec.toml")
    ]


def test_predicate_says_what_was_computed_from_what():
    predicate = statement()["predicate"]
    assert predicate["plan_id"] == "f" * 64
    assert (predicate["run"], predicate["name"]) == ("digits-1", "digits")
    assert predicate["inputs"][1] == {
        "role": "model",
        "name": "example:digits/model",
        "digest": "2" * 64,
        "files": None,
    }
    assert predicate["spec"] == plan().spec
    assert predicate["seeds"] == {"spec": 7}
    assert predicate["environment"] == ENVIRONMENT.model_dump(mode="json")
    assert predicate["fidelity"] == "not measured"
    assert predicate["games"] == [
        {
            "grouping": "artist",
            "utility": "quality",
            "proxy": proxy,
            "v_empty": 0.25,
            "v_full": 0.75,
            "estimator": estimator,
            "contributors": 3,
            "coalitions": 8,
            "images": 300,
            "efficiency_gap": 0.001,
            "cv_r2": cv_r2,
            "level": 0.9,
            "ranking": [
                {"name": name, "rank": rank, "rank_low": rank, "rank_high": rank}
                | {"value": value, "low": value - 0.1, "high": value + 0.1}
                for name, value, rank in (("ada", 0.7, 1), ("bob\x1b[31m", -0.1, 2), ("cy", -0.1, 3))
            ],
            "indistinguishable": blind,
            "fidelity": None,
        }
        for proxy, estimator, cv_r2, blind in (
            ("prompt", "exact", None, [["bob\x1b[31m", "cy"]]),
            ("image", "surrogate", 0.93, []),
        )
    ]


def test_same_run_same_bytes():
    other = statement(subjects=dict(reversed(SUBJECTS.items())), environment=ENVIRONMENT.model_copy())
    assert statement_bytes(other) == statement_bytes(statement())


def test_bytes_are_plain_sorted_json():
    data = statement_bytes({"b": "é\x1b\u202e\u009b", "a": [1.5, None]})
    assert data == b'{\n "a": [\n  1.5,\n  null\n ],\n "b": "\\u00e9\\u001b\\u202e\\u009b"\n}\n'
    assert json.loads(statement_bytes(statement())) == statement()
    with pytest.raises(ValueError, match="JSON"):
        statement_bytes({"a": float("inf")})


@pytest.mark.parametrize("change", [{"hostname": "h"}, {"batch_size": "many"}, {"devices": None}])
def test_environment_is_strict(change):
    with pytest.raises(ValidationError):
        Environment(**(ENVIRONMENT.model_dump() | change))


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "", ".", "..", ".hidden", "x" * 300, "a\n", "C:x"])
def test_subjects_have_plain_names(name, tmp_path):
    with pytest.raises(ValidationError):
        statement(subjects={name: b""})
    with pytest.raises(ValueError, match="no plain file name"):
        write_run_folder(tmp_path / "run", {name: b""})
    assert list(tmp_path.iterdir()) == []


def test_limits_follow_the_proxies_and_the_games():
    def said(*games):
        return " ".join(limits_of(results().model_copy(update={"games": games})))

    prompt, image = said(game("prompt")), said(game("image"))
    assert "values conditions and not data" in prompt
    assert "values conditions and not data" not in image
    assert "understates how much" in image
    assert "understates how much" not in prompt
    assert "can't be told apart" not in prompt
    blind = (("bob", "cy"), ("d", "e"))
    assert "artist, prompt proxy: 2 set(s) of contributors can't be told apart" in said(
        game("prompt", indistinguishable=blind), game("prompt", utility="diversity", indistinguishable=blind)
    )
    for limits in (prompt, image):
        assert "No model was retrained" in limits
        assert "bias that a finite pool gives" in limits
        assert "Fidelity was not measured" in limits
        assert "only signatures tell" in limits


def test_limits_tell_how_far_fidelity_was_measured():
    number = Measured(value=0.9, low=0.8, high=1.0)
    fields = {"anchors": 20, "spearman": number, "lds": number, "intercept": 0.0, "slope": 1.0, "calibration": ()}
    said = "measured on 20 anchors for 1 of 2 games"

    def limits(**more):
        games = (game("prompt", fidelity=Fidelity(**fields, **more)), game("image"))
        return " ".join(limits_of(results().model_copy(update={"games": games, "fidelity": said})))

    plain = limits(kind="retrained", closed=None)
    assert f"was {said}" in plain
    assert "Of the other games it is unknown." in plain
    assert "digest, not how they were made" in plain
    assert "Fidelity was not measured" not in plain
    assert "biased in level" not in plain
    assert "estimates from the proxy game and the anchors" not in plain
    closed = ClosedGap(anchors=20, r2=number, proxy_r2=0.1, contributors=())
    tuned = limits(kind="fine_tuned", closed=closed)
    assert "biased in level" in tuned
    assert "estimates from the proxy game and the anchors" in tuned


FILES = {"spec.toml": b"1", "plan.json": b"2", "results.json": b"3", "coalitions.parquet": b"4", "record.json": b"5"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_folder_holds_the_files(tmp_path):
    write_run_folder(tmp_path / "runs" / "digits-1", FILES)
    assert content(tmp_path / "runs" / "digits-1") == FILES


def test_same_files_are_left_alone(tmp_path):
    write_run_folder(tmp_path, FILES)
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    write_run_folder(tmp_path, FILES)
    assert {path.stat().st_mtime for path in tmp_path.iterdir()} == {1}


@pytest.mark.parametrize("writes", range(5))
def test_record_is_there_only_with_all_its_files(tmp_path, monkeypatch, writes):
    write_run_folder(tmp_path, dict.fromkeys(FILES, b"old"))
    left = [writes]
    real = folder_module.atomic_write_bytes

    def dying(path, data):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        real(path, data)

    monkeypatch.setattr(folder_module, "atomic_write_bytes", dying)
    with pytest.raises(RunError, match="No space left"):
        write_run_folder(tmp_path, FILES)
    assert "record.json" not in content(tmp_path)
    monkeypatch.undo()
    write_run_folder(tmp_path, FILES)
    assert content(tmp_path) == FILES
