"""The commands as people use them, on a real run."""

import json
from pathlib import Path

import polars as pl
import pytest

from surrogateshap.cli import main
from tests.sharing.conftest import Shared


def test_shared_and_verified(
    shared: Shared,
    keys: dict[str, tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    store, run = ["--store", str(shared.project.store)], shared.results.run
    assert main(["export", run, "o.zip", "--sign", str(keys["pem"][0]), *store]) == 0
    assert main(["export", run, "o.zip", *store]) == 6
    assert "--force" in capsys.readouterr().err
    assert main(["verify", "o.zip", "--key", str(keys["pem"][1]), "--refit"]) == 0
    assert capsys.readouterr().out.endswith("The record holds.\n")
    assert main(["verify", "o.zip", "--key", str(keys["ssh"][1])]) == 1
    assert main(["sign", "o.zip", "--key", str(keys["ssh"][0])]) == 0
    capsys.readouterr()
    assert main(["verify", "o.zip", "--key", str(keys["ssh"][1]), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["holds"] is True
    table = pl.read_parquet(shared.project.store / "runs" / run / "coalitions-owner.parquet")
    names = [column for column in table.columns if not column.startswith("value.")]
    kept = table.filter(pl.any_horizontal(names)).unique(names, maintain_order=True)
    kept.select(*names, **{"value.right": "value.right.prompt"}).write_parquet("anchors.parquet")
    evaluated = ["evaluate", run, "--against", "anchors.parquet", "--record", "o.zip", *store]
    assert main(evaluated) == 0
    assert "Appended statement-001-fidelity.json to o.zip." in capsys.readouterr().err
    assert main(["verify", "o.zip"]) == 0
    assert "statement-001-fidelity.json: not signed" in capsys.readouterr().out
    assert main(["show", "o.zip", "--format", "csv"]) == 0
    assert "amber" in capsys.readouterr().out
    assert main(["validate", "o.zip", "--allow-path", str(shared.project.folder)]) == 0
    assert main(["plan", "o.zip", "--allow-path", str(shared.project.folder)]) == 0


def test_names_are_hidden_and_revealed(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store = ["--store", str(shared.project.store)]
    assert main(["export", shared.results.run, "o.zip", "--pseudonyms", *store]) == 0
    assert main(["reveal", "o.zip", "amber", "-o", "amber.json"]) == 0
    assert main(["verify", "o.zip", "--opening", "amber.json"]) == 0
    assert ": is amber" in capsys.readouterr().out
    assert main(["reveal", "o.zip", "amber", "-o", "o.zip.secret.json"]) == 2
    assert main(["reveal", "o.zip", "zorro"]) == 6
