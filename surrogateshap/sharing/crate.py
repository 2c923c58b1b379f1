"""RO-Crate metadata, so that a record opens in the tools of archives.

Format: https://w3id.org/ro/crate/1.1
"""

import json
from collections.abc import Mapping
from typing import Any

from surrogateshap.record.folder import RECORD
from surrogateshap.record.results import Results
from surrogateshap.record.statement import Environment

CRATE = "ro-crate-metadata.json"
_PROFILE = "https://w3id.org/ro/crate/1.1"
_SAID = {
    "spec.toml": ("application/toml", "What was asked: the spec as it was written"),
    "plan.json": ("application/json", "The plan that it resolved to"),
    "results.json": ("application/json", "All results"),
    "results.parquet": ("application/vnd.apache.parquet", "The rankings as a table"),
    "report.html": ("text/html", "The results for readers, as one page"),
    "report.md": ("text/markdown", "The results for readers, as text"),
    "model-card.md": ("text/markdown", "A passage for the model's card"),
    RECORD: ("application/vnd.in-toto+json", "in-toto statement: what was computed from what, with digests and limits"),
}
_BY_ENDING = {
    ".parquet": ("application/vnd.apache.parquet", "A table of coalitions and their values, or of images"),
    ".png": ("image/png", "An image of the pool"),
}


def crate(results: Results, files: Mapping[str, bytes], environment: Environment, date: str) -> bytes:
    """The metadata of a record with these files and its record.json; `date` is that of the run, as ISO 8601."""
    parts = [_file(name, len(data)) for name, data in sorted(files.items())] + [_file(RECORD, None)]
    software = {
        "@id": "#surrogateshap",
        "@type": "SoftwareApplication",
        "name": "surrogateshap",
        "version": environment.versions.get("surrogateshap", ""),
        "url": "https://arxiv.org/abs/2601.22276",
    }
    made = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run {results.run}",
        "endTime": date,
        "instrument": {"@id": software["@id"]},
        "object": {"@id": "spec.toml"},
        "result": [{"@id": part["@id"]} for part in parts if part["@id"] != "spec.toml"],
    }
    about = f"Shapley values of the data contributors of a diffusion model, in {len(results.games)} games"
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Contributor values: {results.name}",
        "description": f"{about}. Fidelity to retraining: {results.fidelity}. Check it with `surrogateshap verify`.",
        "datePublished": date,
        "license": "Not stated: ask whoever shares this record.",
        "hasPart": [{"@id": part["@id"]} for part in parts],
        "mentions": {"@id": "#run"},
    }
    descriptor = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": _PROFILE},
        "about": {"@id": "./"},
    }
    graph = [descriptor, root, *parts, software, made]
    document = {"@context": f"{_PROFILE}/context", "@graph": graph}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _file(name: str, size: int | None) -> dict[str, Any]:
    ending = "." + name.rpartition(".")[2]
    kind, said = _SAID.get(name) or _BY_ENDING.get(ending, ("application/octet-stream", "A file of the record"))
    entity = {"@id": name, "@type": "File", "name": name, "description": said, "encodingFormat": kind}
    return entity if size is None else {**entity, "contentSize": str(size)}
