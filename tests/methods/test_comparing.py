"""`compare` from end to end: methods beside truth and the run, removals, costs, and every format."""

import csv
import io
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from surrogateshap import api
from surrogateshap.cli import main
from surrogateshap.errors import InterruptedRun, RunError, SpecError
from surrogateshap.execute.workshop import Workshop
from surrogateshap.methods import classical
from surrogateshap.methods.removal import counts, without
from surrogateshap.record.comparison import ComparedMethod, ComparedUtility, ComparisonReport, UtilityComparison
from surrogateshap.record.results import Measured
from surrogateshap.report import comparison_csv, comparison_markdown
from tests.methods.conftest import CHANGES
from tests.tiny import OWNERS, Project

FAST = ["image_proxy", "prompt_proxy", "banzhaf", "pixel_similarity"]
COPY = """
import os, pathlib, shutil, sys
shutil.copytree("model", sys.argv[2], dirs_exist_ok=True)
with open("ran.txt", "a") as ran:
    print(os.environ["SURROGATESHAP_COALITION"], file=ran)
"""


def truth(project: Project) -> Path:
    """Retrained values that are what the image proxy says, of every other coalition."""
    results = api.show(str(project.folder / "spec.toml"))
    masks = np.array([[bool(number >> i & 1) for i in range(5)] for number in range(1, 32)])
    columns: dict[str, Any] = {name: masks[:, i] for i, name in enumerate(OWNERS)}
    for game in results.games:
        if game.grouping == "owner" and game.proxy == "image" and game.utility != "threes":
            value = {one.name: one.value for one in game.contributors}
            columns[f"value.{game.utility}"] = masks @ [value[name] for name in OWNERS]
    path = project.folder / "truth.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return path


def compare(project: Project, **options: Any) -> ComparisonReport:
    return api.compare_methods(str(project.spec(CHANGES)), **{"methods": FAST, **options})


def test_methods_beside_truth_and_the_run(ran: Project) -> None:
    ran.spec(CHANGES)
    report = compare(ran, against=truth(ran))
    assert (report.grouping, report.contributors) == ("owner", OWNERS)
    assert [method.name for method in report.methods] == FAST
    assert {one.name: one.anchors for one in report.utilities} == {"right": 31, "quality": 31, "threes": 0}
    for method in report.methods:
        assert method.refused is None
        assert method.stated is not None
        assert method.spent is not None
        assert method.stated.images == method.spent.images
        assert [one.utility for one in method.utilities] == ["right", "quality", "threes"]
        for one in method.utilities:
            assert len(one.values) == 5
            assert {each.proxy for each in one.ranking} == {"prompt", "image"}
            assert (one.lds is None) == (one.utility == "threes")
            assert (one.agreement is None) == (one.utility == "threes" or not method.name.endswith("proxy"))
    ours = report.methods[0].utilities[0]
    assert ours.lds is not None
    assert ours.lds.value == pytest.approx(1)
    own = next(each for each in ours.ranking if each.proxy == "image")
    assert (own.spearman, own.kendall) == (pytest.approx(1), pytest.approx(1))
    again = compare(ran, against=ran.folder / "truth.parquet")
    assert [one.utilities for one in again.methods] == [one.utilities for one in report.methods]


def test_costs_are_told_before_anything_runs(ran: Project) -> None:
    spec = ran.spec(CHANGES)
    before = sorted(path.name for path in ran.store.rglob("*.safetensors"))
    report = api.compare_methods(str(spec), plan=True, methods=["all"])
    assert all(method.spent is None and not method.utilities for method in report.methods)
    stated = {method.name: method.stated.images for method in report.methods if method.stated}
    assert stated["surrogateshap_paper"] == 36
    assert stated["pixel_similarity"] == 24
    assert "clip_similarity" not in stated  # it can't run here, and nobody asked for it by name
    assert sorted(path.name for path in ran.store.rglob("*.safetensors")) == before
    cheap = api.compare_methods(str(spec), plan=True)
    assert all(method.stated and not method.stated.training_steps for method in cheap.methods)
    named = api.compare_methods(str(spec), plan=True, methods=["clip_similarity", "clip_similarity"])
    assert [method.refused is None for method in named.methods] == [False]


def test_telling_costs_loads_no_models(ran: Project) -> None:
    words = ["compare", str(ran.spec(CHANGES)), "--plan", "--methods", "all"]
    code = f"import sys; from surrogateshap.cli import main; main({words!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "surrogateshap.methods.trak" in loaded
    assert not loaded & {"torch", "diffusers", "transformers", "lightgbm", "shap"}


def test_what_methods_keep_outlives_a_clean_up(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compare(ran, methods=["pixel_similarity", "surrogateshap_paper"])
    api.gc(store=ran.store)
    monkeypatch.setattr(Workshop, "make", None)  # nothing is made again
    again = compare(ran, methods=["pixel_similarity", "surrogateshap_paper"])
    assert [one.utilities for one in again.methods] == [one.utilities for one in first.methods]


def test_the_spec_names_methods_and_may_change_after_the_run(ran: Project) -> None:
    changed = ran.spec({**CHANGES, "compare": {"methods": ["own_utility"], "images": 10}})
    report = api.compare_methods(str(changed))
    assert [method.name for method in report.methods] == ["own_utility"]
    region = api.compare_methods(str(changed), grouping="region")
    assert region.contributors == ("north", "south", "west")


def test_what_cannot_be_compared(ran: Project) -> None:
    with pytest.raises(SpecError, match="Did you mean banzhaf"):
        compare(ran, methods=["banzhav"])
    with pytest.raises(SpecError, match="no grouping `owners`"):
        compare(ran, grouping="owners")
    path = ran.folder / "other.csv"
    path.write_text("a,b,value\n1,0,2\n")
    with pytest.raises(SpecError, match="no column of 5 contributors"):
        compare(ran, against=path)
    with pytest.raises(RunError, match="has no results yet"):
        api.compare_methods(str(ran.spec({**CHANGES, "seed": 9})))


def test_a_method_that_fails_does_not_stop_the_others(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise RunError("the weights are gone", "Look for them.")

    broken = classical.Classical("banzhaf", "Banzhaf", "", fail)
    monkeypatch.setattr(classical, "METHODS", (broken,))
    report = compare(ran, methods=["banzhaf", "own_utility"])
    assert [method.refused for method in report.methods] == ["it failed: the weights are gone", None]


def test_it_stops_when_asked(ran: Project) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedRun):
        compare(ran, stop=stop)


def test_removals_are_retrained_once_and_only_when_allowed(ran: Project) -> None:
    (ran.folder / "train.py").write_text(COPY)
    changes = {**CHANGES, "fidelity.trainer": ["{python}", "train.py", "{rows}", "{out}"]}
    spec, asked = str(ran.spec(changes)), {"methods": ["image_proxy", "banzhaf"], "counterfactual": "trainer"}
    with pytest.raises(SpecError, match="commands of a spec run only when allowed"):
        api.compare_methods(spec, **asked)
    assert not (ran.folder / "ran.txt").exists()
    report = api.compare_methods(spec, **asked, allow_commands=True)
    trained = (ran.folder / "ran.txt").read_text().split()
    assert len(trained) == len(set(trained))
    needed = {
        mask.tobytes()
        for method in report.methods
        for one in method.utilities
        for k in counts(5)
        for mask in without(np.array(one.values), k)
    }
    assert len(trained) == len(needed)
    for one in report.methods[0].utilities:
        assert [each.contributors for each in one.removals] == [1, 2]
    assert all(one.v_model is not None for one in report.utilities)
    again = api.compare_methods(spec, **asked, allow_commands=True)
    assert [one.utilities for one in again.methods] == [one.utilities for one in report.methods]
    assert (ran.folder / "ran.txt").read_text().split() == trained


def test_removals_by_fine_tuning(ran: Project) -> None:
    asked, spec = {"methods": ["image_proxy"], "counterfactual": "fine_tuning"}, str(ran.spec(CHANGES))
    report = api.compare_methods(spec, **asked)
    for one in report.methods[0].utilities:
        assert [each.contributors for each in one.removals] == [1, 2]
    assert len({each.without_top for one in report.methods[0].utilities for each in one.removals}) > 3
    again = api.compare_methods(spec, **asked)
    assert again.methods[0].utilities == report.methods[0].utilities


def test_who_is_removed() -> None:
    top, bottom = without(np.array([0.1, 3.0, -1.0, 2.0, -1.0]), 2)
    assert top.tolist() == [True, False, True, False, True]
    assert bottom.tolist() == [True, True, False, True, False]
    assert counts(5) == (1, 2)
    assert counts(20) == (2, 4, 8)
    assert counts(2) == (1,)
    assert counts(1) == ()


def test_every_format(ran: Project, capsys: pytest.CaptureFixture[str]) -> None:
    spec, table = str(ran.spec(CHANGES)), str(truth(ran))
    words = ["compare", spec, "--methods", ",".join([*FAST, "clip_similarity"]), "--against", table]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "Pixel similarity: 24 images" in err
    assert out.startswith("tiny, run tiny-")
    assert "owner / right\n" in out
    assert "clip_similarity: no utility looks through an encoder of the kind `clip`." in out
    assert max(map(len, out.splitlines())) <= 80
    assert main([*words, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert ComparisonReport.model_validate(document).methods[0].name == "image_proxy"
    assert main([*words, "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(lines) == 3 * len(FAST) + 1
    assert float(lines[0]["lds"]) == pytest.approx(1)
    assert lines[-1]["refused"]
    assert main([*words, "--format", "md", "-o", str(ran.folder / "out.md")]) == 0
    assert "| Method | Images |" in (ran.folder / "out.md").read_text()
    assert main(["compare", spec, "--plan"]) == 0
    assert "nothing has run" in capsys.readouterr().out


def test_better_methods_are_named_and_strangers_texts_are_harmless() -> None:
    def method(name: str, lds: float) -> ComparedMethod:
        found = Measured(value=lds, low=lds - 0.1, high=lds + 0.1)
        scores = UtilityComparison(utility="=u|\x1b", values=(1.0, 2.0), lds=found)
        return ComparedMethod(name=name, title=name, paper="", utilities=(scores,), notes=("<b>\x1b[2J",))

    report = ComparisonReport(
        run="r-1",
        name="r|\x1b[2J",
        plan_id="0",
        grouping="=g",
        contributors=("a", "b"),
        level=0.9,
        kind="retrained",
        utilities=(ComparedUtility(name="=u|\x1b", v_empty=0.0, v_full=3.0, anchors=9),),
        methods=(method("image_proxy", 0.5), method("nda", 0.75), method("banzhaf", 0.25)),
    )
    text = comparison_markdown(report)
    assert "Better than the run's own LDS of 0.50\\: nda 0.75." in text
    assert "\x1b" not in text
    assert "<b>" not in text
    assert comparison_csv(report).splitlines()[1].startswith("'=g,'=u|")


def test_reports_are_kept_with_the_run_and_shown_in_its_page(ran: Project, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(ran.spec(CHANGES))
    assert api.comparisons(spec) == ()
    first = compare(ran, methods=["own_utility"])
    assert api.comparisons(spec) == (first,)
    compare(ran, methods=["banzhaf"])
    (both,) = api.comparisons(spec)
    assert [method.name for method in both.methods] == ["banzhaf", "own_utility"]
    compare(ran, methods=["own_utility"], against=truth(ran))
    (other,) = api.comparisons(spec)
    assert [method.name for method in other.methods] == ["own_utility"], "the truth is another"
    compare(ran, methods=["own_utility"], grouping="region")
    assert [one.grouping for one in api.comparisons(spec)] == ["owner", "region"]
    assert main(["show", spec, "--format", "html"]) == 0
    page = capsys.readouterr().out
    assert '<section id="methods">' in page
    assert "Utility of own images" in page
