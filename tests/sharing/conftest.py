"""A small finished run, exported once."""

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from surrogateshap import api
from surrogateshap.record.results import Results
from tests.tiny import SPEC, Project

CHANGES: dict[str, Any] = {
    "contributors.grouping": SPEC["contributors"]["grouping"][:1],
    "utility": SPEC["utility"][:2],
    "budget": {"images_per_contributor": 4, "coalitions": 21},
    "estimator": {"kind": "surrogate", "trees": 20},
}


class Shared(NamedTuple):
    project: Project
    results: Results
    record: Path
    """Copy it; don't change it."""


@pytest.fixture(scope="session")
def shared(tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    project = Project(tiny_master, tmp_path_factory.mktemp("shared"))
    results = project.apply(CHANGES)
    record = tmp_path_factory.mktemp("out") / "record.zip"
    api.export(str(project.folder / "spec.toml"), record, images=2)
    return Shared(project, results, record)


@pytest.fixture
def record(shared: Shared, tmp_path: Path) -> Path:
    """A copy of the exported record."""
    copy = tmp_path / "record.zip"
    copy.write_bytes(shared.record.read_bytes())
    return copy


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Private and public keys, as OpenSSL and OpenSSH make them."""
    folder = tmp_path_factory.mktemp("keys")
    pem, public, ssh = folder / "key.pem", folder / "key.pub.pem", folder / "id_ed25519"
    for command in (
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(pem)],
        ["openssl", "pkey", "-in", str(pem), "-pubout", "-out", str(public)],
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "someone", "-f", str(ssh)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return {"pem": (pem, public), "ssh": (ssh, ssh.with_suffix(".pub"))}
