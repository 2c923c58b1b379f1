"""The schema, the template and the shipped spec agree with what the loader takes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

from surrogateshap.spec.load import load_spec
from surrogateshap.spec.model import Spec
from surrogateshap.spec.repair import repair
from surrogateshap.spec.schema import json_schema
from surrogateshap.spec.template import template
from surrogateshap.spec.utilities import (
    FrechetUtility,
    InceptionUtility,
    PairwiseUtility,
    Quantile,
    RateUtility,
    ScoreUtility,
)

DIGITS = Path(__file__).parents[2] / "specs" / "digits.toml"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_the_schema_is_a_schema() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:surrogateshap:spec:1"
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema
    assert schema == json_schema()


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(each)


def test_every_key_is_described() -> None:
    schema = json_schema()
    tables = [schema, *schema["$defs"].values()]
    for table in tables:
        assert table["title"]
        assert table["description"]
        for key, value in table["properties"].items():
            assert value["title"] == key
            inner = schema["$defs"][value["$ref"].rsplit("/", 1)[1]] if "$ref" in value else value
            assert inner["description"].strip(), key
    score = schema["$defs"]["ScoreUtility"]["properties"]["score"]["description"]
    assert "`condition`: probability of the class that the image was asked to show." in score


def test_nothing_that_toml_lacks() -> None:
    """No null, as a type or as a default; no keyword of a dialect."""
    for node in nodes(json_schema()):
        assert node.get("type") != "null"
        assert node.get("default", 0) is not None
        assert not {"discriminator", "sort"} & set(node)


def test_digits() -> None:
    document = tomli.loads(DIGITS.read_text(encoding="utf-8"))
    VALIDATOR.validate(document)
    spec = load_spec(DIGITS).spec
    assert spec.model.source == "example:digits/model"
    assert [(each.name, each.source) for each in spec.encoder] == [("digits", "example:digits/classifier")]
    people = spec.contributors
    assert (people.manifest, people.condition, people.image) == (
        "example:digits/contributors.parquet",
        "label",
        "image",
    )
    assert [(each.name, each.by) for each in people.grouping] == [
        ("contributor", ("contributor",)),
        ("collection", ("collection",)),
    ]
    assert (spec.proxy.kind, spec.proxy.strength) == (("prompt", "image"), 0.6)
    assert (spec.sampling.steps, spec.sampling.guidance_scale) == (20, 2.0)
    assert spec.budget.images_per_contributor == 100
    assert spec.utility == (
        FrechetUtility(name="quality", kind="frechet", reference="example:digits/reference.parquet"),
        ScoreUtility(name="recognisable", kind="score", score="condition", statistic="mean"),
        ScoreUtility(name="confident-tail", kind="score", score="confidence", statistic=Quantile(quantile=0.1)),
        InceptionUtility(name="variety", kind="inception"),
        PairwiseUtility(name="diversity", kind="pairwise"),
        RateUtility(name="threes", kind="rate", **{"class": 3}),
    )


def test_the_template_is_a_spec_with_every_table(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(template(), encoding="utf-8")
    spec = load_spec(path).spec
    document = tomli.loads(template())
    VALIDATOR.validate(document)
    assert set(document) == set(Spec.model_fields) - {"payout"}
    digits = load_spec(DIGITS).spec
    assert (spec.model, spec.encoder, spec.sampling, spec.execution) == (
        digits.model,
        digits.encoder,
        digits.sampling,
        digits.execution,
    )
    assert spec.contributors.grouping[0] == digits.contributors.grouping[0]
    assert spec.contributors.manifest == digits.contributors.manifest


def test_what_the_template_offers_in_comments_works(tmp_path: Path) -> None:
    """Every line that is a key or a table behind `# ` can be switched on; together they are a spec."""
    lines = template().split("\n")
    offered = [line for line in lines if line.startswith("# ") and ("= " in line or line.startswith("# ["))]
    assert len(offered) == 43
    path = tmp_path / "spec.toml"
    path.write_text("\n".join(line[2:] if line in offered else line for line in lines), encoding="utf-8")
    spec = load_spec(path).spec
    kinds = {"score", "frechet", "kernel", "rate", "inception", "pairwise"}
    assert {each.kind for each in spec.utility} == kinds | {"vendi", "cluster_entropy", "coverage", "association"}
    assert (spec.model.null_class, spec.contributors.grouping[0].other) == (10, "everyone else")


GOOD_CHANGES = [
    ("seed", 3),
    ("proxy.kind", "image"),
    ("proxy.kind", ["image"]),
    ("proxy.strength", 1),
    ("utility.0.encoder", "digits"),
    ("utility.1.score", {"class": 3}),
    ("utility.1.score", {"class": "three"}),
    ("utility.1.statistic", {"above": 0.5}),
    ("utility.5.class", "three"),
    ("utility", [{"name": "u", "kind": "kernel", "kernel": {"gaussian": 10}}]),
    ("utility", [{"name": "u", "kind": "aesthetic", "head": "head.safetensors", "statistic": {"quantile": 0.9}}]),
    ("utility", [{"name": "u", "kind": "vendi", "order": 0.5}]),
    ("utility", [{"name": "u", "kind": "recall", "neighbours": 3}]),
    ("utility", [{"name": "u", "kind": "association", "between": [{"class": 3}, {"conditions": ["three"]}]}]),
    ("utility", [{"name": "u", "kind": "plugin", "plugin": "sharpness", "options": {"radius": 2}}]),
    ("empty", {"kind": "value", "value": 1}),
    ("empty", {"kind": "value", "value": dict.fromkeys(["quality", "recognisable"], 0.5)}),
    ("estimator", {"kind": "surrogate", "trees": 10}),
    ("execution", {}),
    ("budget.stop_when", {"interval_width": 0.05}),
    ("budget.stop_when", {"interval_width": 0.05, "stable_top": 3, "gpu_hours": 2}),
    ("budget.stop_when", [{"stable_top": 1}, {"gpu_hours": 0.5}]),
]
BAD_CHANGES = [
    ("sead", 3),
    ("seed", -1),
    ("flags.denoising_loss", 1),
    ("flags.denoising_loss", "true"),
    ("seed", True),
    ("seed", "3"),
    ("seed", 2**63),
    ("name", "A"),
    ("spec_version", 2),
    ("spec_version", True),
    ("model", None),
    ("model.source", ""),
    ("proxy.kind", "imag"),
    ("proxy.kind", []),
    ("proxy.kind", ["auto"]),
    ("proxy.strength", 0),
    ("proxy.strength", 1.1),
    ("sampling.steps", 1.5),
    ("contributors.grouping", []),
    ("contributors.grouping.0.by", []),
    ("contributors.grouping.0.by", "contributor"),
    ("utility", []),
    ("utility.0.kind", "fréchet"),
    ("utility.0.kind", None),
    ("utility.0.class", 3),
    ("utility.1.statistic", "median"),
    ("utility.1.statistic", {"quantile": 1}),
    ("utility.1.statistic", {"quantile": 0.5, "above": 0.5}),
    ("utility.1.score", {"class": -1}),
    ("utility.5.class", None),
    ("utility.5.class", 1.5),
    ("utility", [{"name": "u", "kind": "kernel", "kernel": {"gaussian": 0}}]),
    ("utility", [{"name": "u", "kind": "aesthetic"}]),
    ("utility", [{"name": "u", "kind": "vendi", "order": 0}]),
    ("utility", [{"name": "u", "kind": "cluster_entropy", "clusters": 1}]),
    ("utility", [{"name": "u", "kind": "coverage", "neighbours": 0}]),
    ("utility", [{"name": "u", "kind": "association", "between": [{"class": 3}]}]),
    ("utility", [{"name": "u", "kind": "association", "between": [{"class": 3}, {"conditions": []}]}]),
    ("budget.images", 10),
    ("budget.stop_when", {}),
    ("budget.stop_when", []),
    ("budget.stop_when", [{}]),
    ("budget.stop_when", [0.05]),
    ("budget.stop_when", 0.05),
    ("budget.stop_when", {"interval_width": 0}),
    ("budget.stop_when", [{"stable_top": 0}]),
    ("budget.stop_when", {"gpu_hours": 2, "until": 3}),
    ("empty", {"value": 1}),
    ("empty", {"kind": "value"}),
    ("empty", {"kind": "value", "value": "1"}),
]


def changed(key: str, value: Any) -> dict[str, Any]:
    """The digits spec with one value changed, or removed where it is None."""
    document = tomli.loads(DIGITS.read_text(encoding="utf-8"))
    *parents, last = key.split(".")
    table = document
    for part in parents:
        table = table[int(part)] if isinstance(table, list) else table[part]
    if value is None:
        del table[last]
    else:
        table[last] = value
    return document


@pytest.mark.parametrize(("key", "value"), GOOD_CHANGES)
def test_schema_and_models_agree_on_what_is_right(key: str, value: Any) -> None:
    document = changed(key, value)
    VALIDATOR.validate(document)
    assert repair(document).faults == []


@pytest.mark.parametrize(("key", "value"), BAD_CHANGES)
def test_schema_and_models_agree_on_what_is_wrong(key: str, value: Any) -> None:
    document = changed(key, value)
    assert not VALIDATOR.is_valid(document)
    assert repair(document).faults


def test_what_is_right_is_not_told_beside_what_is_wrong() -> None:
    document = changed("utility.0.kind", "fréchet")
    assert document["flags"]["denoising_loss"] is True
    assert [fault.path for fault in repair(document).faults] == [("utility", 0, "kind")]
