import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import polars
import pytest

from surrogateshap import errors
from surrogateshap.cli.main import BUG, COMMANDS, cli
from surrogateshap.events import event_from_json
from surrogateshap.plan.model import Plan
from surrogateshap.record.results import Results
from tests.cli.fake_api import EVENTS
from tests.samples import golden, hostile_plan, peaceful_plan, peaceful_results

Run = Callable[..., tuple[int, str, str]]
GOLDEN = Path(__file__).parent / "golden"
pytestmark = pytest.mark.usefixtures("api")


def fail(api: Any, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    def raising(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(api, name, raising)


# Help


def test_short_helps_agree_with_the_commands() -> None:
    context = click.Context(cli)
    for name, text in COMMANDS.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help is not None
        assert command.help.split("\n")[0] == text


def test_help_lists_every_command(run: Run) -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert all(f"\n  {name} " in out and text in " ".join(out.split()) for name, text in COMMANDS.items())
    assert run("-h")[1] == out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(run: Run, name: str) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0
    assert out.startswith(f"Usage: surrogateshap {name} ")
    assert COMMANDS[name] in " ".join(out.split())
    assert run(name, "-h")[1] == out


def test_version(run: Run) -> None:
    assert run("--version") == (0, "surrogateshap 0.1.0\n", "")


def test_usage_errors(run: Run) -> None:
    code, out, err = run("aply", "x.toml")
    assert (code, out) == (2, "")
    assert "No such command 'aply'. Did you mean 'apply'?" in err
    assert run("show")[0] == 2
    assert run("show", "r", "--top", "0")[0] == 2
    assert run("--nope")[0] == 2


# validate


def test_validate_checks_every_spec(run: Run, api: Any, tmp_path: Path) -> None:
    code, out, err = run("validate", "bad.toml", "good.toml", "bad2.toml", "--allow-path", str(tmp_path))
    assert code == 2
    assert out == "good.toml: OK\n"
    assert err == (
        "bad.toml: no [model]\n"
        "bad.toml:3: sampling.stepz: no such key \ufffd[2J\n"
        "    Did you mean `steps`?\n"
        "2 problems in bad.toml\n"
        "bad2.toml: no [model]\n"
        "bad2.toml:3: sampling.stepz: no such key \ufffd[2J\n"
        "    Did you mean `steps`?\n"
        "2 problems in bad2.toml\n"
    )
    assert api.calls[1] == ("validate", Path("good.toml"), (tmp_path,))


def test_validate_accepts(run: Run) -> None:
    assert run("validate", "a.toml", "b.toml") == (0, "a.toml: OK\nb.toml: OK\n", "")


# plan


def test_plan_prints_the_explanation(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURROGATESHAP_STORE", "elsewhere")
    code, out, err = run("plan", "a.toml")
    assert (code, out, err) == (0, api.explain(peaceful_plan()), "")
    assert api.calls == [("plan", Path("a.toml"), Path("elsewhere"), ())]


def test_plan_as_json(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run("plan", "a.toml", "--json")
    golden(GOLDEN / "plan.json", out)
    assert code == 0
    assert Plan.model_validate_json(out) == peaceful_plan()
    monkeypatch.setattr(api, "plan", lambda *_, **__: hostile_plan())
    out = run("plan", "a.toml", "--json")[1]
    assert Plan.model_validate_json(out) == hostile_plan()
    assert all(character.isprintable() or character == "\n" for character in out)


def test_plan_saves(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "my plan.json"
    code, _, err = run("plan", "a.toml", "-o", str(out), "--store", "s")
    assert code == 0
    assert Plan.model_validate_json(out.read_text()) == peaceful_plan()
    assert err == f"Saved. Apply it with: surrogateshap apply '{out}' --store s\n"


def test_detailed_exit_code(run: Run) -> None:
    assert run("plan", "a.toml", "--detailed-exitcode")[0] == 2
    assert run("plan", "cached.toml", "--detailed-exitcode")[0] == 0
    assert run("plan", "a.toml")[0] == 0


# apply


def test_apply_tells_its_progress_and_prints_the_table(run: Run, api: Any, tmp_path: Path) -> None:
    code, out, err = run("apply", "a.toml", "--store", "s", "--allow-path", str(tmp_path))
    assert code == 0
    assert out == (GOLDEN / ".." / ".." / "report" / "golden" / "peaceful.txt").read_text()
    assert err.startswith("Run r-1 starts")
    assert api.calls == [("apply", Path("a.toml"), Path("s"), (tmp_path,))]


def test_apply_prints_an_overview_of_many_games(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    results = peaceful_results()
    many = results.model_copy(update={"games": results.games * 2})
    monkeypatch.setattr(api, "apply", lambda *_, **__: many)
    code, out, err = run("apply", "a.toml", "--store", "s", "--display", "none")
    assert (code, out.count("Hilma af Klint"), out.count("interval")) == (0, 2, 0)
    assert err == "Whole rankings: surrogateshap show a.toml --store s\n"


def test_apply_with_json_prints_events_alone(run: Run) -> None:
    code, out, _ = run("apply", "a.toml", "--display", "json")
    assert code == 0
    assert tuple(event_from_json(line) for line in out.split("\n")[:-1]) == EVENTS
    assert all(character.isprintable() or character == "\n" for character in out)


def test_apply_with_none_is_silent_but_for_the_table(run: Run) -> None:
    code, out, err = run("apply", "a.toml", "--display", "none")
    assert (code, err) == (0, "")
    assert "Hilma af Klint" in out


def test_apply_asks_where_somebody_can_answer(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", lambda text, err: bool(answers.append(text)))
    code, out, err = run("apply", "a.toml", "--display", "none")
    assert (code, out) == (1, "")
    assert err == api.explain(peaceful_plan()) + "\nNothing was applied.\n"
    assert answers == ["Apply this plan?"]
    assert [call[0] for call in api.calls] == ["plan"]
    assert run("apply", "cached.toml", "--display", "none")[0] == 0
    assert run("apply", "a.toml", "--yes", "--display", "none")[0] == 0
    assert answers == ["Apply this plan?"]


@pytest.mark.parametrize("error", [errors.InterruptedRun("x"), KeyboardInterrupt()])
def test_an_interrupted_run_says_how_to_go_on(
    run: Run, api: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    fail(api, monkeypatch, "apply", error)
    code, out, err = run("apply", "my specs/a.toml", "--display", "plain", "--store", "s")
    assert (code, out) == (130, "")
    assert err.endswith(
        "Interrupted: what was finished is kept. Go on with: surrogateshap apply 'my specs/a.toml' --store s\n"
    )


# show


@pytest.mark.parametrize(("kind", "ending"), [("table", "txt"), ("json", "json"), ("csv", "csv"), ("md", "md")])
def test_show_in_each_format(run: Run, tmp_path: Path, kind: str, ending: str) -> None:
    expected = (Path(__file__).parents[1] / "report" / "golden" / f"peaceful.{ending}").read_bytes()
    code, out, err = run("show", "artists", "--format", kind)
    assert (code, out.encode(), err) == (0, expected, "")
    assert run("show", "artists", "--format", kind, "-o", str(tmp_path / "out")) == (0, "", "")
    assert (tmp_path / "out").read_bytes() == expected


def test_show_takes_the_top_and_one_game(run: Run) -> None:
    out = run("show", "r", "--format", "json", "--top", "2", "--game", "artist")[1]
    results = Results.model_validate_json(out)
    assert [len(game.contributors) for game in results.games] == [2]
    assert "2 contributors more, not shown" in run("show", "r", "--top", "2", "--game", "artist")[1]


def test_show_parquet_needs_a_file(run: Run, tmp_path: Path) -> None:
    code, out, err = run("show", "r", "--format", "parquet")
    assert (code, out) == (2, "")
    assert "needs -o" in err
    assert run("show", "r", "--format", "parquet", "-o", str(tmp_path / "o.parquet"))[0] == 0
    assert polars.read_parquet(tmp_path / "o.parquet").height == 6


def test_show_html(run: Run, api: Any, tmp_path: Path) -> None:
    code, out, err = run("show", "r", "--format", "html", "--images", "2", "--top", "3", "--game", "art")
    assert (code, err) == (0, "")
    assert out.startswith("<!doctype html>")
    assert out.endswith("</html>\n")
    asked = {"store": None, "images": 2, "game": "art", "top": 3, "allow_paths": (), "allow_plugins": ()}
    assert api.calls == [("report_data", "r", asked)]
    assert run("show", "r", "--format", "html", "-o", str(tmp_path / "o.html")) == (0, "", "")
    assert "Hilma af Klint" in (tmp_path / "o.html").read_text()
    code, out, err = run("show", "r", "--images", "2")
    assert (code, out) == (2, "")
    assert "--images needs --format html" in err


def test_diff(run: Run, api: Any, tmp_path: Path) -> None:
    code, out, err = run("diff", "a", "b", "--no-plan", "--allow-path", str(tmp_path))
    assert (code, err) == (0, "")
    assert 'seed: "a" → "b"' in out
    asked = {"store": None, "plan_specs": False, "allow_paths": (tmp_path,), "allow_plugins": ()}
    assert api.calls == [("diff", "a", "b", asked)]
    assert run("diff", "a", "b", "--exit-code")[0] == 1
    assert run("diff", "a", "a", "--exit-code")[0] == 0
    code, out, err = run("diff", "a", "b\x1b[2J", "--json", "--exit-code")
    assert (code, err) == (1, "")
    assert [one["new"] for one in json.loads(out)["keys"]] == ["b\x1b[2J"]
    assert "\x1b" not in out
    assert run("diff", "a")[0] == 2


@pytest.mark.parametrize("kind", ["table", "csv", "parquet"])
def test_show_tells_where_it_cannot_write(run: Run, tmp_path: Path, kind: str) -> None:
    code, out, err = run("show", "r", "--format", kind, "-o", str(tmp_path / "no" / "out"))
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert "can't be written: No such file or directory" in err


def test_show_tells_which_games_there_are(run: Run) -> None:
    code, _, err = run("show", "r", "--game", "nope")
    assert code == 1
    assert err == (
        "Error: no game matches “nope”\n    The games are: artist / aesthetics / image; label / quality / prompt\n"
    )


# init, schema, verify, tui


def test_init_never_overwrites_unasked(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("init")
    assert (code, out) == (0, "")
    assert err == "Wrote surrogateshap.toml. Fill it in, then: surrogateshap validate surrogateshap.toml\n"
    assert Path("surrogateshap.toml").read_text() == "spec_version = 1\n"
    Path("surrogateshap.toml").write_text("mine")
    code, _, err = run("init")
    assert code == 1
    assert "is there already" in err
    assert "--force" in err
    assert Path("surrogateshap.toml").read_text() == "mine"
    assert run("init", "--force")[0] == 0
    assert Path("surrogateshap.toml").read_text() == "spec_version = 1\n"
    assert run("init", "no/such/folder.toml")[0] == 1


def test_schema_is_json(run: Run) -> None:
    code, out, err = run("schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"type": "object", "title": "Zoë"}


def test_verify(run: Run, api: Any) -> None:
    code, out, err = run("verify", "record.json", "--key", "a.pub", "--replay", "3", "--refit", "--seed", "5")
    assert (code, err) == (0, "generating\ufffd[2J\n")
    assert out.startswith("Files: proved: every file is the one that the record names")
    assert out.endswith("  ok   results\nIt is not signed.\nThe record holds.\n")
    ((_, _, asked),) = api.calls
    assert asked == {
        "keys": (Path("a.pub"),),
        "openings": (),
        "refit": True,
        "replay": 3,
        "seed": 5,
        "allow_paths": (),
        "allow_plugins": (),
        "execution": {},
    }
    code, out, _ = run("verify", "bad.json")
    assert code == 1
    assert "Contents: does not hold\n  FAIL results: a\ufffd[2J b\n" in out
    assert out.endswith("The record does not hold.\n")
    code, out, _ = run("verify", "bad.json", "--json")
    assert code == 1
    assert json.loads(out)["holds"] is False
    assert [step["holds"] for step in json.loads(out)["steps"]] == [True, False]


def test_export_sign_and_reveal(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURROGATESHAP_PASSPHRASE", "open")
    code, out, err = run("export", "r-1", "o.zip", "--pseudonyms", "--images", "--sign", "k.pem")
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        "Written: o.zip. Check it with: surrogateshap verify o.zip",
        "Keep o.zip.secret.json to yourself: it reveals every name.",
    ]
    assert run("export", "r-1", "o.zip", "--images", "7")[0] == 0
    first, second = (call[-1] for call in api.calls)
    assert (first["images"], second["images"]) == (100, 7)
    assert (first["sign"], first["passphrase"], first["pseudonyms"]) == (Path("k.pem"), "open", True)
    assert run("sign", "o.zip", "--key", "k.pem") == (0, "", "o.zip is signed by ed25519:abc\n")
    assert run("reveal", "o.zip", "Ada") == (0, "{}\n", "")
    assert api.calls[-2:] == [
        ("sign", Path("o.zip"), Path("k.pem"), "open"),
        ("reveal", Path("o.zip"), "Ada", Path("o.zip.secret.json")),
    ]


def test_tui_passes_its_options_on(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []
    package, app = types.ModuleType("surrogateshap_tui"), types.ModuleType("surrogateshap_tui.app")
    app.run = lambda target, **options: calls.append((target, options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "surrogateshap_tui", package)
    monkeypatch.setitem(sys.modules, "surrogateshap_tui.app", app)
    assert run("tui", "a.toml", "--store", "s", "--allow-path", str(tmp_path))[0] == 0
    assert calls == [("a.toml", {"store": Path("s"), "allow_paths": (tmp_path,), "allow_plugins": ()})]


@pytest.mark.parametrize("command", [("validate",), ("plan",), ("apply", "--yes")])
def test_plugins_are_allowed_by_name(run: Run, api: Any, command: tuple[str, ...]) -> None:
    name, *options = command
    assert run(name, "a.toml", *options, "--allow-plugin", "sharp", "--allow-plugin", "soft")[0] == 0
    assert api.calls[0][-2:] == ("sharp", "soft")


def test_a_saved_plan_says_what_was_allowed(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "p.plan"
    _, _, err = run("plan", "a.toml", "-o", str(out), "--allow-path", str(tmp_path), "--allow-plugin", "sharp x")
    assert f"surrogateshap apply {out} --allow-path {tmp_path} --allow-plugin 'sharp x'" in err


# Errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SurrogateShapError("m", "r"), 1),
        (errors.PlanError("m", "r"), 3),
        (errors.MissingExtraError("m", "r"), 4),
        (errors.DeviceError("m", "r"), 5),
        (errors.RunError("m", "r"), 6),
        (errors.VerificationError("m", "r"), 7),
    ],
)
def test_errors_have_their_exit_codes(
    run: Run, api: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    for command in ("plan", "apply"):
        fail(api, monkeypatch, command, error)
        assert run(command, "a.toml") == (code, "", "Error: m\n    r\n")


def test_a_wrong_spec_is_told_problem_by_problem(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [errors.Problem("a.toml", 1, "k", "m"), errors.Problem("b.parquet", 0, "", "n", "do\nthis")]
    fail(api, monkeypatch, "apply", errors.SpecError(problems))
    code, out, err = run("apply", "a.toml", "--display", "none")
    assert (code, out) == (2, "")
    assert err == "a.toml:1: k: m\nb.parquet: n\n    do\n    this\n2 problems in 2 files\n"


def test_errors_are_shown_harmlessly_and_keep_their_lines(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(api, monkeypatch, "show", errors.RunError("moved:\n    \x1b[2J[red]x[/]\n\u202ey", "a\x07"))
    assert run("show", "r") == (6, "", "Error: moved:\n    \ufffd[2J[red]x[/]\n\ufffdy\n    a\ufffd\n")


def test_a_bug_is_told_in_two_lines(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(api, monkeypatch, "show", ValueError("first\nlast \x1b[2J"))
    code, out, err = run("show", "r")
    assert (code, out) == (BUG, "")
    assert err == (
        "Error: this is a bug in surrogateshap, please report it: ValueError: last \ufffd[2J\n"
        "    SURROGATESHAP_DEBUG=1 shows where it happened.\n"
    )
    monkeypatch.setenv("SURROGATESHAP_DEBUG", "1")
    err = run("show", "r")[2]
    assert err.startswith("Traceback (most recent call last):\n")
    assert "in raising" in err
    assert "\x1b" not in err


def test_ctrl_c_while_planning(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(api, monkeypatch, "plan", KeyboardInterrupt())
    code, out, err = run("plan", "a.toml")
    assert (code, out) == (130, "")
    assert err.strip() == "Interrupted."
    fail(api, monkeypatch, "plan", click.Abort())
    assert run("plan", "a.toml") == (1, "", "Aborted.\n")


def test_results_of_the_fake_are_those_shown(run: Run) -> None:
    assert Results.model_validate_json(run("show", "r", "--format", "json")[1]) == peaceful_results()


@pytest.mark.parametrize("shard", ["x", "3/2", "2/2", "-1/2", "1", "1/0", "٣/4", "0/8\n", "0.5/2"])
def test_shards_are_counted_from_0(run: Run, shard: str) -> None:
    code, out, err = run("worker", "spec.toml", f"--shard={shard}")
    assert (code, out) == (2, "")
    assert "--shard" in err


def test_what_worker_is_asked(run: Run, api: Any) -> None:
    code, out, err = run("worker", "spec.toml", "--shard", "1/8", "--devices", "cuda:0,cuda:1", "--store", "st")
    assert (code, out, err) == (0, "", "2 of 4 images\ufffd[2J\n")
    assert api.calls[-1] == (
        "work",
        Path("spec.toml"),
        (1, 8),
        {"devices": ("cuda:0", "cuda:1")},
        None,
        Path("st"),
        None,
    )
    for url in ("s3://bucket/a", None):
        assert run("worker", "spec.toml", "--shard=0/1", *([f"--objects={url}"] if url else []))[0] == 0
        assert api.calls[-1] == ("work", Path("spec.toml"), (0, 1), {}, None, None, url)


def test_a_stopped_worker(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(api, monkeypatch, "work", errors.InterruptedRun("stopped"))
    code, _, err = run("worker", "spec.toml", "--shard", "0/1")
    assert code == 130
    assert "Go on with the same command" in err
