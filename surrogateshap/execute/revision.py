"""Commits of the git repositories that a run's code and spec lie in.

A spec's folder may be a stranger's, and a repository's configuration can name programs: only commands are used that
read no working tree and so run no filter, hook or monitor, and nothing may be fetched.
"""

import hashlib
import os
import subprocess
from pathlib import Path

from surrogateshap.record.statement import Revision

_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_SSH_COMMAND": "false",
}
_SECONDS = 10


def code_revision() -> Revision | None:
    """Of the checkout that surrogateshap runs from; None where it is installed."""
    package = Path(__file__).resolve().parents[1]
    return revision_of(package, sorted(package.rglob("*.py")))


def revision_of(folder: Path, files: list[Path]) -> Revision | None:
    """Of the repository that `folder` lies in; dirty unless all `files` are as the commit has them.

    None where there is no repository, no commit, none of the files in it, or no git.
    """
    commit, top = _git(folder, "rev-parse", "--verify", "HEAD"), _git(folder, "rev-parse", "--show-toplevel")
    if not commit or not top:
        return None
    root = Path(os.fsdecode(top.strip())).resolve()
    try:
        named = {path.resolve().relative_to(root).as_posix(): path for path in files}
        listing = _git(folder, "ls-tree", "-z", "--full-tree", "HEAD", "--", *named)
        if not listing:
            return None
        entries = [entry.partition(b"\t") for entry in listing.split(b"\0") if entry]
        known = {os.fsdecode(name): about.split()[2].decode("ascii", "replace") for about, _, name in entries}
        dirty = any(known.get(name) != _blob(path, len(known.get(name, ""))) for name, path in named.items())
    except (OSError, ValueError):
        return None
    return Revision(commit=commit.strip().decode("ascii", "replace"), dirty=dirty)


def _blob(path: Path, digits: int) -> str:
    """Git's name of a file's bytes: SHA-1, or SHA-256 in repositories that use it."""
    data = path.read_bytes()
    kind = "sha256" if digits == 64 else "sha1"
    return hashlib.new(kind, b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _git(folder: Path, *words: str) -> bytes | None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-pager", "-C", str(folder), *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            env={**kept, **_ENVIRONMENT},
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
