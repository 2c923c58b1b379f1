"""Plans: what counts in their identity, why work is pending, saved plans, warnings and problems."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import BaseModel

from surrogateshap import api
from surrogateshap.errors import PlanError, Problem, SpecError
from surrogateshap.plan.check import check_spec
from surrogateshap.plan.coalitions import Evaluation, choose
from surrogateshap.plan.compile import compile_spec, indistinguishable
from surrogateshap.plan.manifest import Grouping, Manifest
from surrogateshap.plan.model import Plan
from surrogateshap.spec.load import load_spec
from surrogateshap.spec.model import Spec
from tests.tiny import SPEC, Project, rows

ANOTHER: dict[str, Any] = {
    "seed": 4,
    "model.null_class": 4,
    "model.dtype": "float32",
    "model.variant": "fp16",
    "proxy.kind": "image",
    "proxy.strength": 0.6,
    "sampling.scheduler": "ddim",
    "sampling.steps": 5,
    "sampling.guidance_scale": 1.0,
    "sampling.height": 16,
    "sampling.width": 16,
    "contributors.condition": "again",
    "contributors.image": "picture",
    "contributors.where": {"region": ["north", "south"]},
    "contributors.grouping": [{"name": "owner", "by": ["owner"]}],
    "encoder": [{"name": "look", "source": "eye"}],
    "utility": [{"name": "right", "kind": "score"}],
    "budget.images_per_contributor": 9,
    "budget.coalitions": 20,
    "empty": {"kind": "value", "value": 0.0},
    "estimator.kind": "surrogate",
    "estimator.trees": 7,
    "estimator.learning_rate": 0.1,
    "estimator.leaves": 4,
    "estimator.min_child_samples": 2,
    "estimator.subsample": 0.5,
    "intervals.level": 0.5,
    "intervals.resamples": 30,
    "intervals.top": 2,
    "estimator.interactions": True,
    "budget.stop_when": {"stable_top": 2},
    "fidelity.grouping": "region",
    "fidelity.kind": "fine_tuned",
    "flags.denoising_loss": True,
    "flags.images_per_contributor": 5,
    "payout": {"amount": 1000.0},
}
"""Another value of every key that may change results."""
ELSEWHERE = {
    "sampling.mode": {"sampling.mode": "fresh", "budget": {"coalitions": 8}},
    "contributors.split": {"contributors": SPEC["contributors"] | {"manifest": "splits", "split": "train"}},
    "budget.images": {"budget": {"images": 41}},
    "budget.images_per_coalition": {"sampling.mode": "fresh", "budget": {"images_per_coalition": 9}},
    "empty.kind": {"empty": {"kind": "value", "value": 0.0}},
    "empty.value": {"empty": {"kind": "value", "value": 1.0}},
}
"""The same for keys that only go with others."""
PATHS = {"model.source", "model.revision", "contributors.manifest", "fidelity.anchors"}
ON_PIPELINES = {"model.adapters"}
"""Change the plan too, and go with none of this project's models: see tests/execute/test_execute_pipelines.py."""
UNHASHED = {
    "name",
    "execution.compile",
    "execution.batch_size",
    "execution.threads",
    "execution.devices",
    "execution.backend",
    "execution.workers",
    "execution.slurm.partition",
    "execution.slurm.account",
    "execution.slurm.qos",
    "execution.slurm.constraint",
    "execution.slurm.gpus",
    "execution.slurm.cpus",
    "execution.slurm.memory_gb",
    "execution.slurm.hours",
    "fidelity.trainer",
}


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.fixture
def project(tiny: Project) -> Project:
    """With the manifest's columns under two names each, and the model's weights too."""
    weights = tiny.folder / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    tiny.manifest(rows().with_columns(again=pl.col("label"), picture=pl.col("image")))
    for split in ("train", "test"):
        (tiny.folder / "splits" / split).mkdir(parents=True)
        rows().write_parquet(tiny.folder / "splits" / split / "0000.parquet")
    return tiny


def test_every_key_of_the_spec_is_known_here() -> None:
    known = {key for key in keys_of(Spec) if not key.startswith("compare.")}  # the whole section counts in no plan
    assert known == {*ANOTHER, *ELSEWHERE, *PATHS, *UNHASHED, *ON_PIPELINES, "spec_version"} - {"empty"}


def test_every_key_that_changes_results_changes_the_plan(project: Project) -> None:
    changes = [{key: value} for key, value in ANOTHER.items()] + list(ELSEWHERE.values())
    ids = [project.plan(change).plan_id for change in [{}, *changes]]
    # `empty.kind` is the same document as the table `empty` itself.
    assert len(set(ids)) == len(ids) - 1
    assert ids.count(ids[0]) == 1


def test_names_places_and_execution_do_not_change_the_plan(project: Project) -> None:
    same = project.plan()
    for change in (
        {"name": "other"},
        {"compare": {"methods": ["banzhaf"], "images": 10, "trak": {"damping": 1.0}}},
        {
            "execution": {
                "batch_size": 3,
                "threads": 2,
                "devices": "cuda",
                "backend": "ray",
                "workers": 3,
                "compile": True,
                "slurm": {"partition": "long", "gpus": 2},
            }
        },
    ):
        assert project.plan(change).plan_id == same.plan_id
    shutil.move(project.folder / "model", project.folder / "moved")
    shutil.move(project.folder / "data.parquet", project.folder / "moved.parquet")
    contributors = SPEC["contributors"] | {"manifest": "moved.parquet"}
    commented = project.spec({"model.source": "moved", "contributors": contributors})
    assert api.plan(commented).plan_id == same.plan_id
    commented.write_text("# a comment\n" + commented.read_text())
    assert api.plan(commented).plan_id == same.plan_id


@pytest.mark.parametrize(
    ("file", "role"),
    [
        ("model/scheduler/scheduler_config.json", "model"),
        ("model/unet/diffusion_pytorch_model.safetensors", "model"),
        ("eye/preprocessor_config.json", "encoder eye"),
        ("data.parquet", "manifest"),
    ],
)
def test_every_byte_of_an_input_counts(tiny: Project, file: str, role: str) -> None:
    before = tiny.plan()
    path = tiny.folder / file
    if path.suffix == ".parquet":
        rows().head(59).write_parquet(path)
    else:
        path.write_bytes(path.read_bytes() + b" ")
    after = tiny.plan()
    assert before.plan_id != after.plan_id
    moved = [new.role for new, old in zip(after.inputs, before.inputs, strict=True) if new.digest != old.digest]
    assert moved == [role]


def test_the_same_inputs_give_the_same_bytes(tiny: Project) -> None:
    one, other = tiny.plan(), tiny.plan()
    assert one.model_dump_json() == other.model_dump_json()
    assert str(tiny.folder) not in one.model_copy(update={"spec_file": "", "inputs": ()}).model_dump_json()
    assert Plan.model_validate_json(one.model_dump_json()) == one


def test_what_the_plan_says(tiny: Project) -> None:
    plan = tiny.plan({"proxy.kind": "image"})
    assert [
        (group.name, group.contributors, group.rows, group.rows_min, group.rows_max) for group in plan.groupings
    ] == [
        ("owner", 5, 60, 12, 12),
        ("region", 3, 60, 16, 24),
    ]
    (pool,) = plan.pools
    assert (pool.images, pool.unconditional, pool.conditions, pool.steps_per_image) == (72, 32, 4, 2)
    assert (pool.per_contributor_min, pool.per_contributor_max) == (8, 8)
    assert [(game.estimator, game.coalitions) for game in plan.games] == [("exact", 32)] * 5 + [("exact", 8)] * 5
    assert (plan.cost.images, plan.cost.retrainings, plan.cost.fresh_images) == (72, 600, 2 * 300 * 256)
    # Guidance evaluates the denoiser twice for an image with a condition: 40 × 2 steps × 2 + 32 × 4 steps.
    assert plan.cost.denoising_steps == 288
    assert {stage.state for stage in plan.stages} == {"new"}
    assert {stage.because for stage in plan.stages} == {"not done yet"}
    assert plan.pending


def test_fresh_sampling_costs_what_it_costs(tiny: Project) -> None:
    changes = {
        "sampling.mode": "fresh",
        "proxy.kind": "prompt",
        "budget": {"coalitions": 8, "images_per_coalition": 10},
    }
    plan = tiny.plan(changes)
    assert plan.cost.fresh_images == 0, "there is nothing to compare with"
    assert all(pool.images % 10 == 0 for pool in plan.pools)
    assert {game.estimator for game in plan.games} == {"surrogate"}


def test_the_proxy_is_chosen_by_what_the_manifest_allows(tiny: Project) -> None:
    auto = {"proxy.kind": "auto"}
    assert check_spec(tiny.spec(auto)).proxies == ("image",)
    contributors = SPEC["contributors"] | {"image": None}
    del contributors["image"]
    no_images = auto | {"contributors": contributors, "utility": [{"name": "sure", "kind": "score"}]}
    assert check_spec(tiny.spec(no_images)).proxies == ("prompt",)
    one_each = rows().filter(pl.col("owner") != "dill").with_columns(owner=pl.col("label"))
    tiny.manifest(one_each)
    assert check_spec(tiny.spec(auto)).proxies == ("prompt",)


@pytest.mark.parametrize(
    ("n", "asked", "estimator"), [(14, None, "exact"), (15, None, "surrogate"), (5, 20, "surrogate")]
)
def test_the_estimator_is_chosen_by_the_number_of_coalitions(
    tiny: Project, n: int, asked: int | None, estimator: str
) -> None:
    frame = rows().head(60).with_columns(owner=(pl.int_range(60) % n).cast(pl.String), region=pl.lit("one"))
    tiny.manifest(frame)
    budget = {"images_per_contributor": 8} | ({"coalitions": asked} if asked else {})
    game = tiny.plan({"budget": budget}).games[0]
    assert game.estimator == estimator
    assert game.coalitions == {"exact": 2**n, "surrogate": (asked or 4_000) + 1}[estimator]


def test_contributors_that_the_prompt_proxy_cannot_tell_apart(tiny: Project) -> None:
    plan = tiny.plan()
    found = {(game.info.grouping, game.info.proxy): game.indistinguishable for game in plan.games}
    assert found == {
        ("owner", "prompt"): (("basil", "basil-copy"),),
        ("region", "prompt"): (),
        ("owner", "image"): (),
        ("region", "image"): (),
    }
    alike = [warning for warning in plan.warnings if "apart" in warning]
    assert len(alike) == 1
    assert "basil, basil-copy" in alike[0]
    assert "basil, basil-copy" in api.explain(plan)


def test_proportions_decide_and_not_counts() -> None:
    def group(counts: list[list[int]]) -> tuple[tuple[str, ...], ...]:
        table = np.array(counts)
        owners, conditions = np.nonzero(table)
        times = table[owners, conditions]
        owner, condition = np.repeat(owners, times).astype(np.int32), np.repeat(conditions, times).astype(np.int32)
        names = tuple("abcdef"[: len(table)])
        grouping = Grouping("g", names, table.sum(axis=1), owner)
        return indistinguishable(grouping, Manifest(Path("x"), ("0", "1", "2"), condition, (grouping,), None))

    assert group([[1, 2, 0], [2, 4, 0], [1, 2, 1], [2, 1, 0]]) == (("a", "b"),)
    assert group([[1, 0, 0], [0, 1, 0], [0, 0, 9], [5, 0, 0], [0, 0, 1]]) == (("a", "d"), ("c", "e"))
    assert group([[1, 2, 3], [3, 2, 1]]) == ()


def test_few_images_are_warned_of(tiny: Project) -> None:
    assert any("8 images per contributor" in warning for warning in tiny.plan().warnings)
    assert not any("images per" in warning for warning in tiny.plan({"proxy.kind": "prompt"}).warnings)
    assert not any("images per" in warning for warning in tiny.plan({"budget.images_per_contributor": 40}).warnings)


class TestSaved:
    def test_it_stands_for_its_spec(self, tiny: Project) -> None:
        plan = tiny.plan()
        out = tiny.folder / "plan.json"
        api.save_plan(plan, out)
        again = api.plan(out)
        assert again.plan_id == plan.plan_id
        assert again.model_dump(exclude={"spec_file", "inputs"}) == plan.model_dump(exclude={"spec_file", "inputs"})
        saved = out.read_bytes()
        api.save_plan(again, out)
        assert json.loads(out.read_bytes())["spec_file"] == json.loads(saved)["spec_file"] == "spec.toml"

    def test_it_names_every_input_that_moved(self, tiny: Project) -> None:
        out = tiny.folder / "plan.json"
        api.save_plan(tiny.plan(), out)
        weights = tiny.folder / "eye" / "model.safetensors"
        weights.write_bytes(weights.read_bytes() + b" ")
        tiny.manifest(rows().head(59))
        tiny.spec({"seed": 4, "sampling.steps": 6})
        for command in (api.plan, api.apply):
            with pytest.raises(PlanError) as caught:
                command(out)
            listed = caught.value.message.splitlines()
            assert "is stale" in listed[0]
            assert [line.strip() for line in listed[1:]] == [
                "sampling.steps: 4 → 6",
                "seed: 3 → 4",
                "encoder eye: its content changed",
                "manifest: its content changed",
            ]
            assert caught.value.exit_code == 3
            assert "surrogateshap plan" in caught.value.remedy
        assert not tiny.store.exists()

    def test_comments_and_batch_sizes_make_it_not_stale(self, tiny: Project) -> None:
        out = tiny.folder / "plan.json"
        api.save_plan(tiny.plan(), out)
        tiny.spec({"execution.batch_size": 5, "name": "other"})
        assert api.plan(out).name == "other"

    def test_relative_paths_and_other_folders(self, tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        tiny.spec()
        (tiny.folder / "plans" / "mine").mkdir(parents=True)
        (tiny.folder / "link").symlink_to(tiny.folder / "plans" / "mine")
        monkeypatch.chdir(tiny.folder)
        plan = api.plan(Path("spec.toml"))
        for out in (Path("plans/mine/p.json"), Path("link/q.json"), Path("r"), tiny.folder / "plans" / "s.plan"):
            api.save_plan(plan, out)
            assert api.plan(out).plan_id == plan.plan_id
        monkeypatch.chdir(tiny.folder / "plans")
        assert api.plan(Path("../r")).plan_id == plan.plan_id
        with pytest.raises(PlanError, match="names a spec elsewhere"):
            api.plan(Path("s.plan"))
        assert api.plan(Path("s.plan"), allow_paths=[tiny.folder]).plan_id == plan.plan_id

    def test_a_plan_cannot_reach_for_other_files(
        self, tiny: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tiny.folder / "plan.json"
        api.save_plan(tiny.plan(), out)
        monkeypatch.chdir(tiny.folder)
        for elsewhere in (
            "../outside.toml",
            "/etc/passwd",
            str(tmp_path / "outside.toml"),
            "~/x",
            "http://x/y",
            "a\0b",
        ):
            document = json.loads(out.read_bytes()) | {"spec_file": elsewhere}
            (tiny.folder / "other.json").write_text(json.dumps(document))
            with pytest.raises((PlanError, SpecError)) as caught:
                api.plan(tiny.folder / "other.json")
            assert "\0" not in str(caught.value)
            assert "elsewhere" in str(caught.value) or "does not exist" in str(caught.value)

    @pytest.mark.parametrize("text", ["", "{}", "[]", "{", "null", '{"plan_version": 2}', "\x00\xff"])
    def test_something_else(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(PlanError, match="is not a plan of this version"):
            api.plan(tmp_path / "plan.json")

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(PlanError, match="missing"):
            api.plan(tmp_path / "plan.json")

    def test_a_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "plan.json")
        with pytest.raises(PlanError, match="not a regular file"):
            api.plan(tmp_path / "plan.json")

    def test_nowhere_to_go(self, tiny: Project) -> None:
        with pytest.raises(PlanError, match="can't be written"):
            api.save_plan(tiny.plan(), tiny.folder / "no" / "plan.json")


def problems_of(path: Path) -> dict[str, Problem]:
    """Of a spec, by key. `validate`, `plan` and `apply` find the same ones and write nothing."""
    found = []
    for command in (api.validate, api.plan, api.apply):
        with pytest.raises(SpecError) as caught:
            command(path)
        assert caught.value.exit_code == 2
        found.append(caught.value.problems)
    assert found[0] == found[1] == found[2]
    assert not (path.parent / ".surrogateshap").exists()
    by_key = {problem.key: problem for problem in found[0]}
    assert len(by_key) == len(found[0])
    return by_key


def without(table: str, key: str) -> dict[str, Any]:
    return {table: {name: value for name, value in SPEC[table].items() if name != key}}


REFERENCE = [{"name": "quality", "kind": "frechet", "reference": "other.parquet"}]
RATE = [{"name": "fours", "kind": "rate", "class": "four"}]
BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("model.source", {"model.source": "nowhere"}, "`nowhere` does not exist", "Looked for it in"),
    ("model.source", {"model.source": "../x"}, "outside the spec's folder", "--allow-path"),
    ("model.source", {"model.source": "eye"}, "has no model_index.json", ""),
    ("model.source", {"model.null_class": 9}, "`null_class` can be 4 at most", ""),
    ("encoder[0].source", {"encoder": [{"name": "eye", "source": "model"}]}, "has no config.json", ""),
    ("contributors.manifest", {"contributors.manifest": "eye"}, "the folder holds no dataset", "save_to_disk"),
    ("contributors.manifest", {"contributors.manifest": "eye/config.json"}, "it is not JSON Lines", ""),
    ("contributors.split", {"contributors.split": "train"}, "a single file, which has no split `train`", "where"),
    ("contributors.condition", {"contributors.condition": "labels"}, "no column `labels`", "`label`"),
    (
        "contributors.condition",
        {"contributors.condition": "region"},
        "doesn't know north, south, west: 60 rows",
        "zero",
    ),
    ("utility[0].reference", {"utility": REFERENCE}, "does not exist", "Looked for it in"),
    ("utility[0].class", {"utility": RATE}, "encoder `eye` has no class four", "zero, one, two, three"),
    ("budget.images_per_contributor", {"budget.images_per_contributor": 1}, "", ""),
    ("budget.images", {"budget": {"images": 9}}, "9 images are too few for 5 contributors with 4 conditions", "10"),
]


@pytest.mark.parametrize(
    ("key", "changes", "message", "remedy"), BAD, ids=[f"{at}-{bad[0]}" for at, bad in enumerate(BAD)]
)
def test_problems_are_told_where_they_are(
    tiny: Project, key: str, changes: dict[str, Any], message: str, remedy: str
) -> None:
    path = tiny.spec(changes)
    ((found, problem),) = problems_of(path).items()
    assert found == key
    assert problem.file == str(path)
    assert message in problem.message
    assert remedy in problem.remedy
    line = path.read_text().splitlines()[problem.line - 1]
    table = key.partition("[")[0].partition(".")
    assert line.startswith(key.rpartition(".")[2] if table[1] and "[" not in key else table[0] + " =") or (
        key == "model.source" and "model" in line
    )


def test_fewer_images_than_conditions_need(tiny: Project) -> None:
    """Drawn conditions stand for the others, but a pool that grows shows all of them."""
    contributors = SPEC["contributors"] | {"grouping": [{"name": "region", "by": ["region"]}]}
    changes = {"contributors": contributors, "proxy.kind": "prompt", "budget": {"images": 7}}
    (pool,) = tiny.plan(changes).pools
    assert (pool.images - pool.unconditional, pool.conditions_in_all) == (7, 4)
    changes["budget"] = {"images": 7, "stop_when": {"stable_top": 1}}
    ((key, problem),) = problems_of(tiny.spec(changes)).items()
    assert key == "budget.stop_when"
    assert "8 are needed" in problem.remedy


def test_ten_thousand_contributors_have_more_coalitions_than_a_number_holds(tiny: Project) -> None:
    spec = load_spec(tiny.spec())
    assert choose(spec.spec, 10_000, Evaluation(1e-6)).estimator == "surrogate"


def test_a_reference_without_images(tiny: Project) -> None:
    path = tiny.spec({"utility": REFERENCE})
    for frame, message in (
        (pl.DataFrame({"image": pl.Series([], dtype=pl.Binary)}), "has no images"),
        (pl.DataFrame({"image": pl.Series([None, None], dtype=pl.Binary)}), "has no images"),
        (pl.DataFrame({"images": [b"x"]}), "no column `image` with images"),
        (pl.DataFrame({"image": ["x"]}), "no column `image` with images"),
    ):
        frame.write_parquet(tiny.folder / "other.parquet")
        assert message in problems_of(path)["utility[0].reference"].message


def test_a_model_without_a_null_class_makes_no_unconditional_images(tiny: Project) -> None:
    index = tiny.folder / "model" / "model_index.json"
    document = json.loads(index.read_text())
    document["id2label"]["4"] = "four"
    index.write_text(json.dumps(document))
    problems = problems_of(tiny.spec({"empty": {"kind": "unconditional"}}))
    assert set(problems) == {"empty.kind"}
    assert 'kind = "value"' in problems["empty.kind"].remedy
    tiny.plan({"empty": {"kind": "value", "value": 0.0}})


def test_too_many_coalitions_for_exact_values(tiny: Project) -> None:
    tiny.manifest(rows().with_columns(owner=(pl.int_range(60) % 17).cast(pl.String)))
    problems = problems_of(tiny.spec({"estimator": {"kind": "exact"}}))
    assert set(problems) == {"estimator.kind"}
    assert "17 contributors" in problems["estimator.kind"].message


def test_problems_of_the_spec_and_of_all_inputs_come_together(tiny: Project) -> None:
    contributors = SPEC["contributors"] | {"condition": "labels", "grouping": [{"name": "g", "by": ["onwer"]}]}
    changes = {
        "seed": -1,
        "model.source": "nowhere",
        "contributors": contributors,
        "encoder": [{"name": "eye", "source": "../eye"}],
    }
    assert set(problems_of(tiny.spec(changes))) == {
        "seed",
        "model.source",
        "contributors.condition",
        "contributors.grouping[0].by",
        "encoder[0].source",
    }


def test_no_images_and_a_proxy_that_needs_them(tiny: Project) -> None:
    problems = problems_of(tiny.spec(without("contributors", "image")))
    assert set(problems) == {"proxy.kind", "utility[2].reference"}


def test_compiling_writes_nothing(tiny: Project) -> None:
    before = sorted(path for path in tiny.folder.rglob("*"))
    path = tiny.spec()
    compile_spec(path)
    api.plan(path)
    assert sorted(tiny.folder.rglob("*")) == sorted([*before, path])
