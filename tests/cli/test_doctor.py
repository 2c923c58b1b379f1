"""`surrogateshap doctor`: what it prints, what it asks for, and its exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surrogateshap.errors import InterruptedRun
from surrogateshap.health import Health
from tests.samples import golden

Run = Callable[..., tuple[int, str, str]]
GOLDEN = Path(__file__).parent / "golden"


def test_it_prints_the_environment(run: Run, api: Any) -> None:
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    golden(GOLDEN / "doctor.txt", out)
    assert api.calls == [("doctor", Path(".surrogateshap"), "auto")]


def test_it_looks_at_what_a_spec_asks_for(run: Run, api: Any) -> None:
    code, out, _ = run("doctor", "specs/cuda.toml")
    assert code == 5
    assert "! no `cuda` device is there" in out
    assert api.calls[-1] == ("doctor", Path("specs/.surrogateshap"), "cuda")


def test_calibration_is_told_and_added(run: Run, api: Any, tmp_path: Path) -> None:
    given = ("--store", "s", "--allow-path", str(tmp_path), "--allow-plugin", "p")
    code, out, err = run("doctor", "--calibrate", "a.toml", *given)
    assert code == 0
    assert err == "generating\ufffd[2J\n"
    assert "  generate:image: 12.3 ms per image, in a batch of 16 on cpu\n" in out
    assert api.calls[-1] == ("calibrate", Path("a.toml"), Path("s"), (tmp_path,), ("p",))


def test_without_its_device_nothing_is_measured(run: Run, api: Any) -> None:
    assert run("doctor", "--calibrate", "cuda.toml")[0] == 5
    assert [call[0] for call in api.calls] == ["validate", "doctor"]


def test_json_alone_is_on_stdout(run: Run, api: Any) -> None:
    code, out, _ = run("doctor", "--calibrate", "a.toml", "--json")
    assert code == 0
    health = Health.model_validate_json(out)
    assert health.speeds[0].images == 16
    assert json.loads(out)["hub_offline"] is True
    assert all(character.isprintable() or character == "\n" for character in out)


@pytest.mark.parametrize("error", [InterruptedRun("x"), KeyboardInterrupt()])
def test_ctrl_c_ends_a_calibration(run: Run, api: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raising(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(api, "calibrate", raising)
    code, out, err = run("doctor", "--calibrate", "my a.toml")
    assert (code, out) == (130, "")
    assert err == "Interrupted: what was measured is kept.\n"
