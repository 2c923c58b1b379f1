import io
import json
import stat
from pathlib import Path

import polars as pl
import pytest

from surrogateshap import api
from surrogateshap.errors import PlanError, RunError
from surrogateshap.sharing.pseudonyms import Pseudonyms, Secret, new_secret, pseudonym_of, salt_of
from tests.sharing.conftest import CHANGES, Shared
from tests.sharing.test_export import members
from tests.tiny import OWNERS, SPEC, Project

SECRET = Secret(secret="ab" * 32)


@pytest.fixture
def hidden(shared: Shared, tmp_path: Path) -> Path:
    return api.export(shared.results.run, tmp_path / "o.zip", store=shared.project.store, pseudonyms=True)


def test_no_name_is_left_anywhere(hidden: Path) -> None:
    files = members(hidden)
    for name, data in files.items():
        for owner in OWNERS:
            assert owner.encode() not in data, (name, owner)
        if name.endswith(".parquet"):
            assert not set(OWNERS) & set(pl.read_parquet(io.BytesIO(data)).columns)
    assert api.verify(hidden, refit=True).holds
    document = json.loads(files["record.json"])
    assert document["predicate"]["pseudonyms"] is True
    assert "may tell them apart" in " ".join(document["predicate"]["limits"])


def test_only_names_are_replaced(shared: Shared, hidden: Path) -> None:
    made = api.show(str(hidden))
    secret = Secret.model_validate_json(hidden.with_name("o.zip.secret.json").read_bytes())
    back = {pseudonym_of(owner, salt_of(owner, secret)): owner for owner in OWNERS}
    for game, honest in zip(made.games, shared.results.games, strict=True):
        named = [row.model_copy(update={"name": back[row.name]}) for row in game.contributors]
        assert sorted(named, key=repr) == sorted(honest.contributors, key=repr)


def test_the_secret_stays_with_its_owner(shared: Shared, hidden: Path, tmp_path: Path) -> None:
    path = hidden.with_name("o.zip.secret.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = Secret.model_validate_json(path.read_bytes())
    assert secret.secret.encode() not in hidden.read_bytes()
    again = api.export(shared.results.run, tmp_path / "p.zip", store=shared.project.store, pseudonyms=True, secret=path)
    assert again.read_bytes() == hidden.read_bytes()
    other = api.export(shared.results.run, tmp_path / "q.zip", store=shared.project.store, pseudonyms=True)
    assert not {row.name for row in api.show(str(other)).games[0].contributors} & {
        row.name for row in api.show(str(hidden)).games[0].contributors
    }


def test_a_single_name_is_revealed(hidden: Path, tmp_path: Path) -> None:
    secret = hidden.with_name("o.zip.secret.json")
    opening = tmp_path / "amber.json"
    opening.write_text(api.reveal(hidden, "amber", secret))
    report = api.verify(hidden, openings=[opening])
    assert report.holds
    assert [check.detail for check in report.checks if check.step == "names"] == ["is amber"]
    assert secret.read_text() not in opening.read_text()
    document = json.loads(opening.read_text())
    for change in ({"name": "basil"}, {"salt": "00" * 32}, {"record": "00" * 32}, {"pseudonym": "c_0"}):
        opening.write_text(json.dumps(document | change))
        assert not api.verify(hidden, openings=[opening]).holds
    with pytest.raises(RunError, match="behind none"):
        api.reveal(hidden, "nobody", secret)
    opening.write_text("{}")
    with pytest.raises(RunError, match="is not what `reveal` wrote"):
        api.verify(hidden, openings=[opening])


def test_revealing_one_name_says_nothing_of_others() -> None:
    """Salts are independent: with one at hand, another name's pseudonym still can't be tried."""
    salts = {owner: salt_of(owner, SECRET) for owner in OWNERS}
    assert len(set(salts.values())) == len(OWNERS)
    assert pseudonym_of("basil", salts["amber"]) != pseudonym_of("basil", salts["basil"])


def test_names_in_specs_and_texts(tiny: Project, tmp_path: Path) -> None:
    spec = tiny.spec(
        {
            **CHANGES,
            "utility": SPEC["utility"][:1],
            "contributors.grouping": [{"name": "owner", "by": ["owner"], "min_rows": 1, "other": "dill"}],
        }
    )
    spec.write_text("# amber and basil\n" + spec.read_text())
    results = api.apply(spec)
    hidden = api.export(results.run, tmp_path / "o.zip", store=tiny.store, pseudonyms=True)
    text = members(hidden)["spec.toml"].decode()
    assert text.startswith("# c_")
    assert not [owner for owner in OWNERS if owner in text]
    assert api.verify(hidden).holds
    with pytest.raises(PlanError, match="pseudonyms"):
        api.plan(hidden)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ann, Anna", "{Ann}, Anna"),
        ("by Ann.", "by {Ann}."),
        ("Ann-Marie", "{Ann-Marie}"),
        ("x_Ann", "x_Ann"),
        ('"q\\"o"', '"{q"o}"'),
        ("é(", "{é(}"),
    ],
)
def test_words_are_replaced_whole(text: str, expected: str) -> None:
    names = ("Ann", "Ann-Marie", 'q"o', "é(")
    made = Pseudonyms(names, SECRET)
    for name in sorted(names, key=len, reverse=True):
        expected = expected.replace("{" + name + "}", made.name(name))
    assert made.text(text) == expected


def test_what_can_not_be_replaced_is_told() -> None:
    made = Pseudonyms(["Ann"], SECRET)
    with pytest.raises(RunError, match="can't be replaced"):
        made.toml(b'name = "\\u0041nn"\n')
    with pytest.raises(RunError, match="can't be replaced"):
        made.toml(b'Ann = "no"\n')


def test_names_of_files_are_replaced_and_digests_with_names_in_them_sealed() -> None:
    made = Pseudonyms(["amber"], SECRET)
    assert made.value({"files": {"amber.safetensors": "0" * 64}}) == {
        "files": {f"{made.name('amber')}.safetensors": "0" * 64}
    }
    assert made.seal("0" * 64) != Pseudonyms(["amber"], new_secret()).seal("0" * 64)
