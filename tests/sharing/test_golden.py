"""A record that version 0.1.0 wrote: what was shared once is read by every later version."""

import json
from pathlib import Path

from surrogateshap import api
from tests.sharing.test_export import members

GOLDEN = Path(__file__).parent / "golden"
RECORD = GOLDEN / "record-v1.zip"


def test_it_holds() -> None:
    report = api.verify(RECORD, keys=[GOLDEN / "key.pem"], refit=True)
    assert [check for check in report.checks if not check.holds] == []
    assert [step.name for step in report.steps] == ["files", "signatures", "contents", "refit"]


def test_it_says_what_it_said() -> None:
    files = members(RECORD)
    assert "statement-001-fidelity.json" in files
    document = json.loads(files["record.json"])
    assert document["predicateType"] == "https://surrogateshap.dev/attestation/contributor-values/v1"
    results = api.show(str(RECORD))
    assert results.name == "golden"
    ranking = [(row["name"], row["value"]) for row in document["predicate"]["games"][0]["ranking"]]
    assert ranking == [(row.name, row.value) for row in results.games[0].contributors]
    assert len(ranking) == 5
    assert api.verify(RECORD).record.endswith("record-v1.zip")
