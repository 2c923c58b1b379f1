"""Specs looked at in passing: from their text and manifest alone."""

from pathlib import Path

import pytest

from surrogateshap import api
from surrogateshap.errors import SpecError
from tests.tiny import Project


def test_a_glance_counts_contributors_and_looks_at_no_model(tiny: Project) -> None:
    spec = tiny.spec({"model.source": "nowhere/at-all", "name": "seen"})
    seen = api.glance(spec)
    plan = api.plan(tiny.spec(name="other.toml"))
    assert seen.name == "seen"
    assert dict(seen.groupings) == {group.name: group.contributors for group in plan.groupings}
    assert set(seen.utilities) == {game.info.utility for game in plan.games}


def test_problems_of_the_text_and_of_the_manifest_come_together(tiny: Project) -> None:
    spec = tiny.spec({"seed": "x", "contributors.condition": "no-such-column"})
    with pytest.raises(SpecError) as caught:
        api.glance(spec)
    assert {problem.key for problem in caught.value.problems} == {"seed", "contributors.condition"}


def test_the_text_of_a_spec_is_read_whatever_it_holds(tiny: Project, tmp_path: Path) -> None:
    spec = tiny.spec()
    assert api.spec_text(spec) == (spec, spec.read_text())
    saved = tiny.folder / "plan.json"
    api.save_plan(api.plan(spec), saved)
    path, text = api.spec_text(saved)
    assert path.samefile(spec)
    assert text == spec.read_text()
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    assert api.spec_text(tmp_path / "latin.toml")[1] == 'name = "caf\ufffd"'
    for name, content in (("huge.toml", b"#" * (2**20 + 1)), ("gone.toml", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert api.spec_text(tmp_path / name)[1] == ""
    assert api.spec_text(tmp_path)[1] == ""
