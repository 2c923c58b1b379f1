"""What a command really loads, whatever the import contracts say of the text."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "lightgbm",
    "shap",
    "textual",
    "sklearn",
    "pandas",
    "huggingface_hub",
    "ray",
)
ENV = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tui")))}
PROBE = """
import json, sys
from surrogateshap.cli import main
sys.argv = ["surrogateshap", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules_after(arguments: list[str], cwd: Path) -> set[str]:
    """Top-level modules loaded once a command has run."""
    code = PROBE.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, env=ENV, check=False)
    return {name.split(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["validate", "spec.toml"],
        ["plan", "spec.toml"],
        ["show", "spec.toml"],
        ["diff", "spec.toml", "spec.toml"],
        ["verify", "record.json"],
        ["verify", "record.zip"],
        ["show", "record.zip"],
        ["sign", "--help"],
        ["export", "--help"],
        ["schema"],
        ["estimate", "--help"],
        ["doctor", "--help"],
        ["runs"],
        ["gc"],
        ["anchors", "plan", "spec.toml", "--count", "4", "-o", "anchors"],
        ["anchors", "train", "--help"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_light_commands_stay_light(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text((ROOT / "specs" / "digits.toml").read_text())
    (tmp_path / "record.json").write_text("{}")
    (tmp_path / "record.zip").write_bytes((ROOT / "tests/sharing/golden/record-v1.zip").read_bytes())
    loaded = modules_after(arguments, tmp_path)
    assert loaded.isdisjoint(HEAVY)
    assert "surrogateshap" in loaded
    if arguments[0] in ("--help", "show", "verify", "schema", "runs"):
        assert loaded.isdisjoint({"polars", "numpy"})


def test_the_package_root_is_lazy() -> None:
    code = "import sys, surrogateshap; print('pydantic' in sys.modules, callable(surrogateshap.plan))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["False", "True"]
