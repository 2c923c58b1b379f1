"""JSON Schema of records: made from the models, and shipped beside them for other programs."""

import json
from importlib.resources import files
from typing import Any

SHIPPED = "record-v1.schema.json"
_ID = "https://surrogateshap.dev/attestation/contributor-values/v1/schema.json"


def shipped() -> dict[str, Any]:
    """The schema as it ships."""
    document: dict[str, Any] = json.loads(files("surrogateshap.record").joinpath(SHIPPED).read_text("utf-8"))
    return document


def made() -> str:
    """The schema as the models have it now: the text that ships."""
    from surrogateshap.record.statement import Statement

    document = Statement.model_json_schema(by_alias=True, mode="serialization")
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": _ID}
    return json.dumps({**about, **document}, indent=1, sort_keys=True) + "\n"
