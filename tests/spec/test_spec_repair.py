"""Whatever a document holds, repair ends, tells what is wrong, and makes a valid spec of the rest."""

import datetime
import random
from typing import Any

import tomli
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from surrogateshap.spec.checks import check
from surrogateshap.spec.model import Spec
from surrogateshap.spec.repair import repair
from surrogateshap.spec.template import template

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["mean", "score", "rate", "image", "value", "0.5", "", "digits", "quality", "\x1b"])
    | st.sampled_from([datetime.date(2026, 1, 31), datetime.time(7), datetime.datetime(2026, 1, 31)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "name", "class", "quantile", "quantil", "value", "by", "x"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


def change(node: Any, value: Any, rng: random.Random) -> None:
    """Replaces, removes (for None) or adds something somewhere in a document."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = rng.choice(keys) if keys else None
    if key is not None and isinstance(node[key], dict | list) and rng.random() < 0.7:
        change(node[key], value, rng)
    elif key is None or rng.random() < 0.2:
        if isinstance(node, dict):
            node[rng.choice(["knd", "encoders", "extra", "image"])] = value
        else:
            node.append(value)
    elif value is None:
        del node[key]
    else:
        node[key] = value


def accepted(document: dict[str, Any]) -> bool:
    def tuples(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tuples(each) for key, each in value.items()}
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    try:
        Spec.model_validate(tuples(document))
    except ValidationError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_any_document(values: list[Any], rng: random.Random) -> None:
    document = tomli.loads(template())
    for value in values:
        change(document, value, rng)
    if "None" in repr(document):  # TOML has none
        return
    repaired = repair(document)
    assert bool(repaired.faults) == (not accepted(document))
    assert all(fault.message and fault.remedy for fault in repaired.faults), "pydantic's words were needed"
    assert repaired.spec is not None
    assert Spec.model_validate(repaired.spec.model_dump(by_alias=True)) == repaired.spec
    told = check(repaired.spec, repaired.broken)
    assert len({(fault.path, fault.message) for fault in told}) == len(told)
