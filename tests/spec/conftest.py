"""A spec that is right, and a way to break it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from surrogateshap.errors import Problem
from surrogateshap.spec.load import Loaded, read_spec

GOOD = """\
spec_version = 1
name = "good"

[model]
source = "model"

[proxy]
strength = 0.5

[sampling]
steps = 10

[contributors]
manifest = "data.parquet"
condition = "label"
image = "image"

[[contributors.grouping]]
name = "artist"
by = ["artist"]

[[encoder]]
name = "net"
source = "net"

[[utility]]
name = "score"
kind = "score"

[budget]
images = 100

[empty]
kind = "unconditional"
"""

Read = Callable[[str], tuple[Loaded | None, list[Problem]]]


@pytest.fixture
def good() -> str:
    """Text of a spec without problems."""
    return GOOD


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads a text as the spec `a.toml` in the working folder."""
    monkeypatch.chdir(tmp_path)

    def read_text(text: str) -> tuple[Loaded | None, list[Problem]]:
        Path("a.toml").write_text(text, encoding="utf-8")
        return read_spec(Path("a.toml"))

    return read_text
