"""JSON Schema of a spec, for editors that check and complete TOML as it is typed."""

from typing import Any

from surrogateshap.spec.model import SPEC_VERSION, Spec


def json_schema() -> dict[str, Any]:
    """The schema, draft 2020-12, made from the models and their docstrings.

    It covers what each table holds. Rules across tables, such as names that must exist, are `validate`'s alone.
    """
    made: dict[str, Any] = _for_toml(Spec.model_json_schema(by_alias=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:surrogateshap:spec:{SPEC_VERSION}",
        **made,
        "title": "surrogateshap spec",
    }


def _for_toml(node: Any) -> Any:
    """Without what TOML doesn't know, null, and the keywords that JSON Schema doesn't."""
    if isinstance(node, list):
        return [_for_toml(each) for each in node]
    if isinstance(node, str):
        return " ".join(node.split())
    if not isinstance(node, dict):
        return node
    kept = {key: _for_toml(each) for key, each in node.items() if not _foreign(key, each)}
    options = kept.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        options = [each for each in options if each != {"type": "null"}]
        kept |= {"anyOf": options} if len(options) > 1 else options[0]
        if len(options) == 1:
            del kept["anyOf"]
    if isinstance(properties := kept.get("properties"), dict):
        for key, each in properties.items():
            if isinstance(each, dict):
                each["title"] = key
    return kept


def _foreign(key: str, value: Any) -> bool:
    """Keywords that mean nothing to a validator. Properties of those names, which hold schemas, are none."""
    if key == "default":
        return value is None or isinstance(value, dict | list)  # a table's defaults stand at its keys
    return (key == "sort" and isinstance(value, str)) or (key == "discriminator" and "propertyName" in value)
