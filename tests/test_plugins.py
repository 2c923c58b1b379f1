"""Plugins: found without importing them, run only where allowed, and never failing with a traceback."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from surrogateshap import api
from surrogateshap.errors import RunError, SpecError
from surrogateshap.plugins import GROUPS, PluginRefused, find_plugin, installed
from tests.plugins import install
from tests.tiny import Project, game, values

MODULE = """
import numpy as np

print("imported")

def ones(encoded, **options):
    return np.full(len(encoded.features), float(options.get("height", 1)))

def first(encoded):
    return encoded.features[:, 0]

def few(encoded):
    return [1.0]

def words(encoded):
    return ["a"] * len(encoded.features)

def raises(encoded):
    raise RuntimeError("what\\x1b[2J it is\\nsecond line")

def nothing(encoded):
    return None

def missing(encoded):
    return np.full(len(encoded.features), np.nan)

class Wide:
    def __init__(self, encoded):
        pass

    def summarise(self, weights):
        return weights @ np.ones((weights.shape[1], 2))

    def value(self, summaries):
        return summaries

class Breaks(Wide):
    def value(self, summaries):
        return 1 / 0

number = 3

class Flat:
    def __init__(self, device, size=2):
        self.size = size

    def encode(self, images):
        return images.reshape(len(images), -1)[:, : self.size]

class Short(Flat):
    def encode(self, images):
        return super().encode(images)[:1]

class Changing(Flat):
    def encode(self, images):
        self.size += 1
        return super().encode(images)

class Failing(Flat):
    def encode(self, images):
        raise RuntimeError("no")

def blind(device):
    return 3
"""
UTILITIES = ("ones", "first", "few", "words", "raises", "nothing", "missing", "Wide", "Breaks", "number", "absent")
ENCODERS = ("Flat", "Short", "Changing", "Failing", "blind", "ones")
TARGETS = {
    GROUPS["utility"]: {name.lower(): f"odd_plugins:{name}" for name in UTILITIES} | {"gone": "no_such_module:x"},
    GROUPS["encoder"]: {name.lower(): f"odd_plugins:{name}" for name in ENCODERS},
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    install(folder, "odd-plugins", "1.2", TARGETS)
    (folder / "odd_plugins.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "odd_plugins", raising=False)
    return folder


def utility(name: str, **options: Any) -> dict[str, Any]:
    return {
        "utility": [{"name": "own", "kind": "plugin", "plugin": name, "options": options}],
        "empty": {"kind": "value", "value": 0.0},
    }


def encoder(name: str, **options: Any) -> dict[str, Any]:
    return {
        "encoder": [{"name": "own", "kind": "plugin", "plugin": name, "options": options}],
        "utility": [{"name": "spread", "kind": "pairwise"}],
    }


@pytest.mark.usefixtures("site")
def test_installed_plugins_are_listed_by_kind() -> None:
    assert {"ones", "gone"} <= set(installed("utility"))
    assert "flat" in installed("encoder")
    assert "flat" not in installed("utility")


@pytest.mark.usefixtures("site")
def test_finding_a_plugin_tells_its_package_and_imports_nothing() -> None:
    found = find_plugin("utility", "ones", ("ones",))
    assert (found.name, found.kind, found.distribution) == ("ones", "utility", "odd-plugins 1.2")
    assert "odd_plugins" not in sys.modules


def test_two_packages_of_one_name_are_ambiguous(site: Path) -> None:
    install(site, "other-plugins", "3", {GROUPS["utility"]: {"ones": "elsewhere:ones"}})
    with pytest.raises(PluginRefused, match=r"2 installed packages .* `ones`: odd-plugins 1.2, other-plugins 3"):
        find_plugin("utility", "ones", ("ones",))


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("changes", "key"), [(utility("ones"), "utility[0].plugin"), (encoder("flat"), "encoder[0].plugin")]
)
def test_what_is_not_allowed_is_a_problem_and_not_imported(tiny: Project, changes: dict[str, Any], key: str) -> None:
    spec = tiny.spec(changes)
    for call in (api.validate, api.plan, api.apply):
        with pytest.raises(SpecError) as refused:
            call(spec, allow_plugins=("another",))  # type: ignore[operator]
        (problem,) = refused.value.problems
        assert problem.key == key
        assert "odd-plugins 1.2" in problem.message
        assert "--allow-plugin " in problem.remedy
        assert problem.line > 0
    assert "odd_plugins" not in sys.modules


@pytest.mark.usefixtures("site")
def test_planning_imports_nothing_of_an_allowed_plugin(tiny: Project) -> None:
    tiny_plan = api.plan(tiny.spec({**encoder("flat"), **utility("ones")}), allow_plugins=("flat", "ones"))
    assert "odd_plugins" not in sys.modules
    assert {file.role for file in tiny_plan.inputs} >= {"plugin flat", "plugin ones"}


@pytest.mark.usefixtures("site")
def test_an_unknown_plugin_tells_what_is_installed(tiny: Project) -> None:
    with pytest.raises(SpecError) as refused:
        api.plan(tiny.spec(utility("onez\x1b[2J")), allow_plugins=("onez\x1b[2J",))
    (problem,) = refused.value.problems
    assert "no installed package has the utility `onez" in problem.message
    assert "\x1b" not in str(problem)
    assert "few" in problem.remedy
    assert "ones" in problem.remedy


def test_an_encoder_plugin_needs_a_name(tiny: Project) -> None:
    changes = encoder("x")
    del changes["encoder"][0]["plugin"]
    with pytest.raises(SpecError) as refused:
        api.plan(tiny.spec(changes))
    assert any(problem.key.startswith("encoder[0]") for problem in refused.value.problems)


def test_another_version_is_another_plan_and_another_value(site: Path, tiny: Project) -> None:
    spec = tiny.spec(utility("ones"))
    first = api.plan(spec, allow_plugins=("ones",))
    assert api.plan(spec, allow_plugins=("ones", "few")).plan_id == first.plan_id
    api.apply(spec, allow_plugins=("ones",))
    (site / "odd_plugins-1.2.dist-info").rename(site / "odd_plugins-1.3.dist-info")
    metadata = site / "odd_plugins-1.3.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.2", "1.3"))
    second = api.plan(spec, allow_plugins=("ones",))
    assert second.plan_id != first.plan_id
    states = {stage.kind: stage.state for stage in second.stages}
    assert (states["generate"], states["encode"], states["evaluate"]) == ("cached", "cached", "new")
    (because,) = (stage.because for stage in second.stages if stage.kind == "evaluate")
    assert because == "plugin ones: its content changed"


def test_recorded_files_count_and_their_installer_does_not(site: Path) -> None:
    def record(*lines: str) -> str:
        (site / "odd_plugins-1.2.dist-info" / "RECORD").write_text("\n".join(lines) + "\n")
        return find_plugin("utility", "ones").digest

    first = record("odd_plugins.py,sha256=abc,10", "odd_plugins-1.2.dist-info/INSTALLER,sha256=pip,4")
    second = record("odd_plugins.py,sha256=abc,10", "odd_plugins-1.2.dist-info/INSTALLER,sha256=uv,4")
    assert first == second
    assert record("odd_plugins.py,sha256=abd,10") != first


@pytest.mark.usefixtures("site")
def test_scores_and_their_options(tiny: Project) -> None:
    results = tiny.apply(utility("ones", height=2.5), allow_plugins=("ones",))
    assert game(results, "owner / own / image").v_full == pytest.approx(2.5)
    assert [*values(results, "owner / own / image").values()] == pytest.approx([0.5] * 5)


@pytest.mark.usefixtures("site")
def test_options_of_an_encoder_are_part_of_its_features(tiny: Project) -> None:
    found = [
        game(tiny.apply(encoder("flat", size=size), allow_plugins=("flat",)), "owner / spread / image").v_full
        for size in (2, 3)
    ]
    assert found[0] < found[1]


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("few", "scores must have shape"),
        ("words", "scores must be numbers"),
        ("nothing", "scores must be numbers"),
        ("raises", "RuntimeError: what"),
        ("wide", "what `value` returns must have shape"),
        ("breaks", "ZeroDivisionError: division by zero"),
        ("number", "can't be called"),
        ("absent", "AttributeError"),
        ("gone", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_utility_that_fails_is_named(tiny: Project, name: str, said: str) -> None:
    with pytest.raises(RunError) as failed:
        tiny.apply(utility(name), allow_plugins=(name,))
    assert f"the utility plugin `{name}` (odd-plugins 1.2)" in failed.value.message
    assert said in failed.value.message
    assert "\x1b" not in str(failed.value)
    assert "second line" not in str(failed.value)


@pytest.mark.usefixtures("site")
def test_scores_that_are_not_finite_are_a_problem_of_the_utility(tiny: Project) -> None:
    with pytest.raises(SpecError, match="utility `own` is not a finite number"):
        tiny.apply(utility("missing"), allow_plugins=("missing",))


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("short", "features must have shape (16, any), not (1, 2)"),
        ("changing", "features of 4 numbers, after 3"),
        ("failing", "RuntimeError: no"),
        ("blind", "it gives int, which has no `encode`"),
        ("ones", "AttributeError"),
    ],
)
def test_an_encoder_that_fails_is_named(tiny: Project, name: str, said: str) -> None:
    with pytest.raises(RunError) as failed:
        tiny.apply(encoder(name), allow_plugins=(name,))
    assert f"the encoder plugin `{name}` (odd-plugins 1.2)" in failed.value.message
    assert said in failed.value.message


@pytest.mark.usefixtures("site")
def test_show_finds_a_run_with_plugins(tiny: Project) -> None:
    spec = tiny.spec(utility("first"))
    api.apply(spec, allow_plugins=("first",))
    assert api.show(str(spec)).games[0].utility == "own"


def test_looking_up_plugins_imports_no_torch(site: Path) -> None:
    program = """
        import sys
        from surrogateshap.plugins import find_plugin, installed
        assert "ones" in installed("utility")
        find_plugin("encoder", "flat", ("flat",))
        assert not {"torch", "odd_plugins"} & set(sys.modules)
    """
    environment_path = [str(site), str(Path(__file__).parents[1])]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {environment_path}\n{textwrap.dedent(program)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
