import sys
from collections.abc import Callable
from typing import Any

import pytest

import surrogateshap
from surrogateshap.cli import main
from tests.cli import fake_api


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fake `surrogateshap.api`."""
    fake = fake_api.make()
    monkeypatch.setitem(sys.modules, "surrogateshap.api", fake)
    monkeypatch.setattr(surrogateshap, "api", fake, raising=False)
    monkeypatch.delenv("SURROGATESHAP_STORE", raising=False)
    monkeypatch.delenv("SURROGATESHAP_OBJECTS", raising=False)
    monkeypatch.delenv("SURROGATESHAP_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return (code, *capsys.readouterr())

    return call
