"""Anchors from a plan to their table: chosen, trained by the spec's command, evaluated, resumed, refused."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from surrogateshap import api
from surrogateshap.cli import main
from surrogateshap.errors import InterruptedRun, PlanError, RunError, SpecError
from surrogateshap.execute.evaluate import Features
from surrogateshap.execute.trainer import command_for, shown
from surrogateshap.plan.allocation import allocate
from surrogateshap.plan.compile import compile_spec
from surrogateshap.store import Store
from tests.tiny import LABELS, OWNERS, SPEC, Project, rows

SMALL: dict[str, Any] = {
    "utility": SPEC["utility"][:3],
    "sampling.steps": 2,
    "budget.images_per_contributor": 12,
    "fidelity.trainer": ["{python}", "train.py", "{rows}", "{out}"],
}
COPY = """
import os, pathlib, shutil, sys
rows, out = map(pathlib.Path, sys.argv[1:3])
assert rows.is_file() and out.is_dir() and not list(out.iterdir())
assert os.environ["SURROGATESHAP_ROWS"] == str(rows) and os.environ["SURROGATESHAP_OUT"] == str(out)
name = os.environ["SURROGATESHAP_COALITION"]
with open("ran.txt", "a") as ran:
    print(name, os.environ["SURROGATESHAP_SEED"], file=ran)
print("training", name)
"""
MODEL = "shutil.copytree('model', out, dirs_exist_ok=True)\n"


def prepared(tiny: Project, trainer: str = COPY + MODEL, count: int = 4, **changes: Any) -> Path:
    """The anchors' folder, planned."""
    (tiny.folder / "train.py").write_text(trainer)
    folder = tiny.folder / "anchors"
    api.plan_anchors(str(tiny.spec({**SMALL, **changes})), count, folder)
    return folder


def train(folder: Path, **options: Any) -> Path:
    spec = folder.parent / "spec.toml"
    return api.train_anchors(folder, **{"spec": spec, "allow_commands": True, "images": 24, **options})


def ran(tiny: Project) -> list[str]:
    """Coalitions that the trainer was started for."""
    path = tiny.folder / "ran.txt"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def ids(folder: Path) -> list[str]:
    return [anchor["id"] for anchor in json.loads((folder / "anchors.json").read_text())["anchors"]]


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


# Planning


def test_what_a_plan_writes(tiny: Project) -> None:
    folder = prepared(tiny, count=6)
    document = json.loads((folder / "anchors.json").read_text())
    plan = api.plan(tiny.folder / "spec.toml")
    assert (document["run"], document["plan_id"]) == (f"tiny-{plan.plan_id[:10]}", plan.plan_id)
    assert (document["grouping"], document["contributors"]) == ("owner", list(OWNERS))
    assert (document["seed"], document["spec_file"]) == (3, "../spec.toml")
    whole, twins = rows().with_row_index("row"), 0
    for anchor in document["anchors"]:
        frame = pl.read_parquet(folder / anchor["id"] / "rows.parquet")
        assert frame.equals(whole.filter(pl.col("owner").is_in(anchor["members"])))
        assert anchor["rows"] == len(frame) == 12 * len(anchor["members"])
        assert len(anchor["members"]) in (2, 3)
        twins += ("basil" in anchor["members"]) != ("basil-copy" in anchor["members"])
    assert twins >= 4
    assert "--allow-commands" in (folder / "README.txt").read_text()


def test_a_larger_plan_adds_to_a_smaller_one(tiny: Project) -> None:
    small = prepared(tiny, count=2)
    before = files(small)
    api.plan_anchors(str(tiny.folder / "spec.toml"), 5, small)
    api.plan_anchors(str(tiny.folder / "spec.toml"), 5, tiny.folder / "again")
    after = files(small)
    assert after == files(tiny.folder / "again")
    del before["anchors.json"]
    assert before.items() <= after.items()
    assert len(after) == len(before) + 4
    api.plan_anchors(str(tiny.folder / "spec.toml"), 5, tiny.folder / "other", seed=4)
    assert ids(tiny.folder / "other") != ids(small)


def test_plans_that_cannot_be(tiny: Project) -> None:
    spec = str(tiny.spec(SMALL))
    with pytest.raises(PlanError, match="20 coalitions of half the size; 21 were asked for"):
        api.plan_anchors(spec, 21, tiny.folder / "a")
    with pytest.raises(PlanError, match="no grouping `nobody`") as error:
        api.plan_anchors(spec, 2, tiny.folder / "a", grouping="nobody")
    assert error.value.remedy == "Its groupings: owner, region."
    with pytest.raises(PlanError, match="with other things"):
        api.plan_anchors(spec, 2, tiny.folder)
    with pytest.raises(PlanError, match="with other things"):
        api.plan_anchors(spec, 2, tiny.folder / "data.parquet")
    assert not (tiny.folder / "a").exists()
    with pytest.raises(RunError, match="no run"):
        api.plan_anchors("nobody", 2, tiny.folder / "a")


def test_a_manifest_with_a_column_row(tiny: Project) -> None:
    tiny.manifest(rows().with_columns(pl.lit("mine").alias("row")))
    folder = prepared(tiny, count=1)
    frame = pl.read_parquet(folder / ids(folder)[0] / "rows.parquet")
    assert frame.columns == ["row_", "owner", "region", "label", "image", "row"]


# Training and evaluation


def test_a_copy_of_the_frozen_model_has_the_values_of_the_prompt_proxy(tiny: Project) -> None:
    folder = prepared(tiny)
    spec = tiny.folder / "spec.toml"
    results = api.apply(spec)
    said: list[str] = []
    table = train(folder, say=said.append)
    assert table == folder / "anchors.parquet"
    assert ran(tiny) == ids(folder)
    assert any("training on 24 rows" in line or "training on 36 rows" in line for line in said)
    assert "training" in (folder / ids(folder)[0] / "trainer.log").read_text()
    frame = pl.read_parquet(table)
    assert frame.columns == [*OWNERS, "value.right", "value.tail", "value.quality"]
    assert frame.select(OWNERS).dtypes == [pl.Boolean] * len(OWNERS)
    document = json.loads((folder / "anchors.json").read_text())
    for row, anchor in zip(frame.iter_rows(named=True), document["anchors"], strict=True):
        assert [name for name in OWNERS if row[name]] == anchor["members"]
    # The same noise under the same conditions: the first images of each condition in the prompt proxy's pool.
    compiled = compile_spec(spec)
    pool = next(pool for pool in compiled.pools if pool.proxy == "prompt")
    game = next(game for game in compiled.games if game.pool is pool)
    with Store.open(tiny.store) as store:
        found = store.find_images(set(pool.keys))
        seen = Features(compiled, store).of_pool(pool, game.encoder, found, range(len(pool.keys)))
    names = list(compiled.checked.manifest.conditions)
    for row in frame.iter_rows(named=True):
        held = rows().filter(pl.col("owner").is_in([name for name in OWNERS if row[name]]))
        counts = allocate(np.array([(held["label"] == name).sum() for name in names]), 24)
        scores: list[float] = []
        for condition, count in enumerate(counts):
            mine = np.flatnonzero(pool.conditions == condition)[:count]
            assert len(mine) == count
            scores += seen.probabilities[mine, LABELS.index(names[condition])].tolist()
        assert row["value.right"] == pytest.approx(np.mean(scores), abs=2e-3)
    # And so they are about what the proxy says.
    proxy = pl.read_parquet(tiny.store / "runs" / results.run / "coalitions-owner.parquet")
    both = frame.join(proxy, on=list(OWNERS))
    assert len(both) == 4
    gap = (both["value.right"] - both["value.right.prompt"]).abs().max()
    assert isinstance(gap, float)
    assert gap < 0.1


def test_resumes_after_a_failure(tiny: Project) -> None:
    broken = COPY + "if name.startswith('002'): print('out of \\x1b[2J memory\\n'); sys.exit(3)\n" + MODEL
    folder = prepared(tiny, broken)
    second = ids(folder)[1]
    with pytest.raises(RunError) as error:
        train(folder)
    assert error.value.message == (
        f"coalition {second}: the trainer failed with exit code 3; its last line: out of \ufffd[2J memory"
    )
    assert f"{second}/trainer.log" in error.value.remedy
    assert ran(tiny) == ids(folder)[:2]
    assert len(pl.read_parquet(folder / "anchors.parquet")) == 1
    with pytest.raises(RunError, match=f"1 coalition of 4 failed; the first: coalition {second}"):
        train(folder, keep_going=True)
    assert ran(tiny)[2:] == ids(folder)[1:]
    assert len(pl.read_parquet(folder / "anchors.parquet")) == 3
    (tiny.folder / "train.py").write_text(COPY + MODEL)
    train(folder)
    assert ran(tiny)[5:] == [second]
    whole = (folder / "anchors.parquet").read_bytes()
    assert not list(folder.glob("*/training-*"))
    said: list[str] = []
    train(folder, allow_commands=False, say=said.append)
    assert said == []
    assert (folder / "anchors.parquet").read_bytes() == whole
    again = tiny.folder / "again"
    api.plan_anchors(str(tiny.folder / "spec.toml"), 4, again)
    train(again)
    assert (again / "anchors.parquet").read_bytes() == whole


def test_what_a_change_of_the_spec_costs(tiny: Project) -> None:
    folder = prepared(tiny, count=2)
    train(folder)
    first = pl.read_parquet(folder / "anchors.parquet")
    tiny.spec({**SMALL, "utility": SPEC["utility"][:4]})
    train(folder, allow_commands=False)
    second = pl.read_parquet(folder / "anchors.parquet")
    assert second.drop("value.variety").equals(first)
    assert len(ran(tiny)) == 2
    for id in ids(folder):  # values outlive models
        shutil.rmtree(folder / id / "model")
    train(folder, allow_commands=False)
    tiny.spec({**SMALL, "fidelity.trainer": ["{python}", "train.py", "{rows}", "{out}", "--better"]})
    said: list[str] = []
    with pytest.raises(SpecError):
        train(folder, allow_commands=False, say=said.append)
    assert "trained by another command" in said[0]
    train(folder)
    assert ran(tiny)[2:] == ids(folder)


def test_models_of_ones_own_need_no_command(tiny: Project) -> None:
    folder = prepared(tiny, count=2, **{"fidelity.trainer": None})
    first, second = ids(folder)
    shutil.copytree(tiny.folder / "model", folder / first / "model")
    with pytest.raises(SpecError) as error:
        train(folder)
    (problem,) = error.value.problems
    assert problem.key == "fidelity.trainer"
    assert problem.message.startswith("the models of 1 of 2 coalitions are missing, and there is no command")
    assert len(pl.read_parquet(folder / "anchors.parquet")) == 1
    shutil.copytree(tiny.folder / "model", folder / second / "model")
    train(folder)
    assert len(pl.read_parquet(folder / "anchors.parquet")) == 2
    assert ran(tiny) == []


def test_nothing_runs_unless_allowed(
    tiny: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = ["{python}", "train.py", "{rows}", "{out}", "; touch owned", "$(touch owned)", "\x1b[2J  {x}\u202e"]
    folder = prepared(tiny, count=2, **{"fidelity.trainer": hostile})
    monkeypatch.chdir(tiny.folder)
    assert main(["anchors", "train", "anchors", "--images", "24"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "fidelity.trainer: the models of 2 of 2 coalitions are missing" in err
    assert f'"train.py" "{folder.resolve()}/{ids(folder)[0]}/rows.parquet" "' in err
    assert r'"; touch owned" "$(touch owned)" "\u001b[2J \u0020{x}\u202e"' in err
    assert "\x1b" not in err
    assert ran(tiny) == []
    assert main(["anchors", "train", "anchors", "--images", "24", "--allow-commands"]) == 0
    out, err = capsys.readouterr()
    assert out == "anchors/anchors.parquet\n"
    assert "\x1b" not in err
    assert ran(tiny) == ids(folder)
    assert not (tiny.folder / "owned").exists()


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ("", "its model has no model_index.json"),
        ("raise SystemExit('gave up')", "the trainer failed with exit code 1; its last line: gave up"),
        ("os.kill(os.getpid(), 9)", "the trainer was killed by signal 9; its last line: training "),
        (MODEL + "shutil.rmtree(out / 'unet')", "its model has no config.json"),
        (MODEL + "change('unet/config.json', sample_size=16)", "another size than the run's: (16, 16, 1) instead of"),
        (MODEL + "change('model_index.json', id2label={'0': 'a', '1': 'b'})", "another number of classes than the run"),
        (MODEL + "change('unet/config.json', num_class_embeds=4)", "another class that means no class"),
        (
            MODEL + "change('model_index.json', id2label={'0': 'one', '1': 'zero', '2': 'two', '3': 'three'})",
            "its model has other classes than the run's, or in another order",
        ),
        (MODEL + "(out / 'unet' / 'diffusion_pytorch_model.safetensors').write_bytes(b'')", "can't be loaded"),
    ],
)
def test_trainers_that_fail(tiny: Project, trainer: str, said: str) -> None:
    change = (
        "import json\ndef change(name, **new):\n    path = out / name\n"
        "    path.write_text(json.dumps(json.loads(path.read_text()) | new))\n"
    )
    folder = prepared(tiny, COPY + change + trainer, count=1)
    with pytest.raises(RunError) as error:
        train(folder)
    assert f"coalition {ids(folder)[0]}: " in error.value.message
    assert said in error.value.message
    assert not (folder / "anchors.parquet").exists()


def test_a_trainer_that_is_not_there(tiny: Project) -> None:
    folder = prepared(tiny, count=1, **{"fidelity.trainer": ["no-such-\x1bprogram"]})
    with pytest.raises(RunError, match="can't be started: no-such-\ufffdprogram: No such file"):
        train(folder)
    tiny.spec({**SMALL, "fidelity.trainer": ["nul\0", "{rows}"]})
    with pytest.raises(RunError, match="can't be started"):
        train(folder)
    tiny.spec({**SMALL, "fidelity.trainer": ["example:../nothing"]})
    with pytest.raises(SpecError, match="shipped examples"):
        train(folder)


SLOW = """
import subprocess
child = "import time; time.sleep(1.5); open('survived.txt', 'w')"
subprocess.Popen([sys.executable, "-c", child])
open("started.txt", "w").close()
import time; time.sleep(60)
"""


def test_a_timeout_ends_all_processes(tiny: Project) -> None:
    folder = prepared(tiny, COPY + SLOW, count=1)
    with pytest.raises(RunError, match=r"took longer than 0.8 s and was stopped"):
        train(folder, timeout=0.8)
    assert (tiny.folder / "started.txt").exists()
    time.sleep(1.5)
    assert not (tiny.folder / "survived.txt").exists()


def test_stopping_loses_one_coalition_at_most(tiny: Project) -> None:
    slow = COPY + MODEL + "if name.startswith('002'):" + SLOW.replace("\n", "\n    ")
    folder = prepared(tiny, slow, count=3)
    stop = threading.Event()

    def watch() -> None:
        while not (tiny.folder / "started.txt").exists():
            time.sleep(0.02)
        stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(InterruptedRun):
        train(folder, stop=stop)
    watcher.join()
    assert ran(tiny) == ids(folder)[:2]
    assert len(pl.read_parquet(folder / "anchors.parquet")) == 1
    assert not (folder / ids(folder)[1] / "model").exists()
    (tiny.folder / "train.py").write_text(COPY + MODEL)
    train(folder)
    assert ran(tiny)[2:] == ids(folder)[1:]
    assert not (tiny.folder / "survived.txt").exists()


# Strangers' folders


def damage_rows(folder: Path) -> None:
    (folder / ids(folder)[0] / "rows.parquet").write_bytes(b"other")


def damage_plan(folder: Path) -> None:
    (folder / "anchors.json").write_text("{}")


def lay_a_pipe(folder: Path) -> None:
    (folder / "anchors.json").unlink()
    os.mkfifo(folder / "anchors.json")


def climb(folder: Path) -> None:
    text = (folder / "anchors.json").read_text()
    (folder / "anchors.json").write_text(text.replace(ids(folder)[0], "../../etc"))


def link(folder: Path) -> None:
    place = folder / ids(folder)[0]
    place.rename(folder.parent / "elsewhere")
    place.symlink_to(folder.parent / "elsewhere")


def other_manifest(folder: Path) -> None:
    rows().head(50).write_parquet(folder.parent / "data.parquet")


def other_rows(folder: Path) -> None:
    """The same file and contributors, of which fewer rows count."""
    spec = folder.parent / "spec.toml"
    text = spec.read_text()
    spec.write_text(text.replace("[contributors]\n", '[contributors]\nwhere = { label = ["zero", "one", "two"] }\n'))
    assert spec.read_text() != text


@pytest.mark.parametrize(
    ("harm", "kind", "said"),
    [
        (damage_rows, RunError, "its rows.parquet is not the one that was planned"),
        (damage_plan, PlanError, "is not a plan of anchors of this version"),
        (lay_a_pipe, PlanError, "not a regular file"),
        (climb, PlanError, "is not a plan of anchors of this version"),
        (link, RunError, "is a link, and nothing is written through it"),
        (other_manifest, PlanError, "were planned for another manifest or grouping"),
        (other_rows, PlanError, "were planned for another manifest or grouping"),
    ],
)
def test_folders_that_are_not_as_planned(
    tiny: Project, harm: Callable[[Path], None], kind: type[Exception], said: str
) -> None:
    folder = prepared(tiny, count=1)
    harm(folder)
    with pytest.raises(kind, match=said):
        train(folder)
    assert ran(tiny) == []


def test_what_is_filled_in_is_never_filled_in_again(tmp_path: Path) -> None:
    command = command_for(["a{rows}", "{out}{out}", "{rows", "{other}"], Path("/x/{out}"), Path("/y z"), tmp_path)
    assert command == ["a/x/{out}", "/y z/y z", "{rows", "{other}"]
    assert shown(command) == '"a/x/{out}" "/y z/y z" "{rows" "{other}"'
    (script,) = command_for(["example:digits/make.py"], Path("r"), Path("o"), tmp_path)
    assert Path(script).is_file()


# The command line


def test_the_commands(tiny: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny.folder / "train.py").write_text(COPY + MODEL)
    tiny.spec(SMALL)
    monkeypatch.chdir(tiny.folder)
    run = api.apply(Path("spec.toml")).run
    assert main(["anchors", "plan", run, "--count", "2", "--seed", "5", "-o", "an chors"]) == 0
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines()] == ids(tiny.folder / "an chors")
    assert "surrogateshap anchors train 'an chors' --allow-commands" in err
    assert main(["anchors", "train", "an chors", "--allow-commands", "--images", "10"]) == 0
    out, err = capsys.readouterr()
    assert out == "an chors/anchors.parquet\n"
    assert err.count("training on") == 2
    assert len(pl.read_parquet("an chors/anchors.parquet")) == 2
    assert {line.split()[1] for line in Path("ran.txt").read_text().splitlines()} == {"5"}
    tiny.spec({**SMALL, "seed": 9})
    assert main(["anchors", "plan", run, "--count", "2", "-o", "b"]) == 3
    assert f"spec.toml is no longer what run {run} was made from" in capsys.readouterr()[1]
    assert main(["anchors", "plan", "spec.toml", "-o", "b"]) == 2
    assert main(["anchors", "train", "b"]) == 3
    assert main(["anchors", "nothing"]) == 2
