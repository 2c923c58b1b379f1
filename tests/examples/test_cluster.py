"""The templates for batch systems: each runs a command that this version understands."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from surrogateshap.cli.worker import command as worker

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"


def parsed(script: str, folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """What `worker` is asked by a shell script."""
    told = folder / "told"
    for name, text in (("surrogateshap", 'printf "%s\\n" "$@" > "$TOLD"'), ("srun", 'exec "$@"')):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    paths = {"PATH": f"{folder}:/usr/bin:/bin", "TOLD": str(told)}
    subprocess.run(["bash", "-euc", script], check=True, env={**environment, **paths})
    name, *arguments = told.read_text().splitlines()
    assert name == "worker"
    # click remembers a command's help options from the first context: they have to be the command line's.
    with worker.make_context(name, arguments, help_option_names=["-h", "--help"]) as context:
        return {**context.params, "objects": os.environ.get("SURROGATESHAP_OBJECTS")}


def test_slurm(tmp_path: Path) -> None:
    script = (FOLDER / "slurm.sh").read_text()
    for number in ("0", "7"):
        asked = parsed(script, tmp_path, {"SLURM_ARRAY_TASK_ID": number, "SLURM_ARRAY_TASK_COUNT": "2"})
        assert (asked["target"], asked["shard"]) == (Path("plan.json"), (int(number), 8))
    assert "#SBATCH --array=0-7\n" in script


def test_kubernetes(tmp_path: Path) -> None:
    spec = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text())["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-c"]
    (script,) = container["args"]
    last = str(spec["completions"] - 1)
    asked = parsed(script, tmp_path, {"JOB_COMPLETION_INDEX": last})
    assert asked["shard"] == (int(last), spec["completions"])
    assert asked["store"] == Path(".surrogateshap")
    claims = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == claims


def test_skypilot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = yaml.safe_load((FOLDER / "skypilot.yaml").read_text())
    for name, value in task["envs"].items():
        monkeypatch.setenv(name, value)
    ranks = {"SKYPILOT_NODE_RANK": "3", "SKYPILOT_NUM_NODES": str(task["num_nodes"])}
    asked = parsed(task["run"], tmp_path, {**task["envs"], **ranks})
    assert asked["shard"] == (3, 4)
    assert asked["objects"] == "s3://my-bucket/surrogateshap"


def test_the_readme_names_every_template() -> None:
    text = (FOLDER / "README.md").read_text()
    assert {path.name for path in FOLDER.iterdir()} == {"README.md", "slurm.sh", "kubernetes.yaml", "skypilot.yaml"}
    assert all(f"`{path.name}`" in text for path in FOLDER.iterdir() if path.name != "README.md")
