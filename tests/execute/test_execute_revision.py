import subprocess
from pathlib import Path

import pytest

from surrogateshap.execute.revision import code_revision, revision_of


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "specs"
    folder.mkdir(parents=True)
    path = folder / "a spec.toml"
    path.write_text("seed = 1\n")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "first")
    return path


def test_a_commit_and_whether_it_is_what_was_run(spec: Path) -> None:
    found = revision_of(spec.parent, [spec])
    assert found is not None
    assert found.commit == git(spec.parent, "rev-parse", "HEAD")
    assert not found.dirty
    spec.write_text("seed = 2\n")
    changed = revision_of(spec.parent, [spec])
    assert changed is not None
    assert changed.dirty
    git(spec.parent, "add", ".")
    staged = revision_of(spec.parent, [spec])
    assert staged is not None
    assert staged.dirty


def test_nothing_to_say(spec: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.toml"
    alone.touch()
    assert revision_of(tmp_path, [alone]) is None
    new = spec.with_name("new.toml")
    new.touch()
    assert revision_of(spec.parent, [new]) is None
    assert revision_of(tmp_path / "none", [alone]) is None
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    assert revision_of(empty, [alone]) is None


def test_a_strangers_repository_runs_nothing(spec: Path, tmp_path: Path) -> None:
    program, ran = tmp_path / "program", tmp_path / "ran"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    root = spec.parent.parent
    (root / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil\n")
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand", "core.askPass", "core.editor", "filter.evil.clean"):
        git(root, "config", key, str(program))
    git(root, "config", "filter.evil.smudge", str(program))
    git(root, "config", "diff.evil.textconv", str(program))
    git(root, "config", "remote.origin.url", f"ext::{program}")
    git(root, "config", "remote.origin.promisor", "true")
    git(root, "config", "core.hooksPath", str(tmp_path))
    blob = git(root, "rev-parse", "HEAD:specs")
    ran.unlink(missing_ok=True)
    spec.write_text("seed = 3\n")
    assert revision_of(spec.parent, [spec]) is not None
    (root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()  # what a partial clone would fetch
    assert revision_of(spec.parent, [spec]) is None
    assert not ran.exists()


def test_the_code_is_that_of_a_checkout_or_of_none() -> None:
    found = code_revision()
    assert found is None or len(found.commit) == 40
