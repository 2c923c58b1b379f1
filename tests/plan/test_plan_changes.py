import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogateshap.plan.changes import KeyChange, input_changes, key_changes
from surrogateshap.plan.differences import reached
from surrogateshap.plan.model import InputFile
from surrogateshap.spec.model import Spec
from tests.tiny import SPEC

EXECUTION = SPEC["execution"]


def resolved(**changes: Any) -> dict[str, Any]:
    """The tiny spec with every default filled in; keys are dotted with `__`, None removes one."""
    document = deepcopy(SPEC)
    for key, value in changes.items():
        table = document
        *parents, last = key.split("__")
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    made: dict[str, Any] = Spec.model_validate_json(json.dumps(document)).model_dump(mode="json", by_alias=True)
    return made


def told(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, Any, Any]]:
    return [(change.key, change.sort, change.old, change.new) for change in key_changes(old, new)]


def file(role: str, digest: str, name: str = "x") -> InputFile:
    return InputFile(role=role, name=name, digest=digest * 64, bytes=1)


def test_nothing_changes_between_equals() -> None:
    assert key_changes(resolved(), resolved()) == ()
    assert key_changes(resolved(), resolved(proxy__strength=0.5, intervals__level=0.9)) == ()  # defaults and the same


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": 4}, ("seed", "results", 3, 4)),
        ({"name": "other"}, ("name", "cosmetic", "tiny", "other")),
        (
            {"execution": {"threads": 1, "batch_size": 8, "devices": "cpu"}},
            ("execution.batch_size", "execution", 16, 8),
        ),
        ({"execution": EXECUTION | {"devices": "auto"}}, ("execution.devices", "execution", "cpu", "auto")),
        ({"fidelity__trainer": ["{python}", "x"]}, ("fidelity.trainer", "execution", None, ["{python}", "x"])),
        ({"fidelity__kind": "fine_tuned"}, ("fidelity.kind", "results", "retrained", "fine_tuned")),
        ({"sampling": {"steps": 5, "guidance_scale": 2.0}}, ("sampling.steps", "results", 4, 5)),
        ({"payout": {"amount": 10.0}}, ("payout", "results", None, {"amount": 10.0, "minimum": 0.0, "bound": "value"})),
        ({"proxy__kind": ["image", "prompt"]}, ("proxy.kind", "results", ["prompt", "image"], ["image", "prompt"])),
        ({"budget__stop_when": {"gpu_hours": 1.0}}, ("budget.stop_when.gpu_hours", "results", None, 1.0)),
        ({"model__adapters": [{"source": "a"}]}, ("model.adapters[0].source", "results", None, "a")),
    ],
)
def test_each_key_has_its_sort(changes: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = told(resolved(), resolved(**changes))
    if expected[0].startswith(("budget.stop_when", "model.adapters")):  # the table itself is what is new
        whole = expected[0].rpartition(".")[0]
        assert [one[:2] for one in found] == [(whole, "results")]
        return
    assert found == [expected]


def test_every_key_of_the_execution_section_is_execution() -> None:
    for name in Spec.model_fields["execution"].annotation.model_fields:  # type: ignore[union-attr]
        document = resolved()
        document["execution"][name] = "changed"
        assert [one[:2] for one in told(resolved(), document)] == [(f"execution.{name}", "execution")]


def test_a_key_in_a_named_table_goes_by_its_name() -> None:
    utilities = deepcopy(SPEC["utility"])
    utilities[1]["statistic"] = {"quantile": 0.2}
    assert told(resolved(), resolved(utility=utilities)) == [("utility[tail].statistic.quantile", "results", 0.3, 0.2)]


def test_tables_that_come_and_go_are_told_whole() -> None:
    fewer = told(resolved(), resolved(utility=SPEC["utility"][1:]))
    assert [(one[0], one[1], one[2]["kind"], one[3]) for one in fewer] == [("utility[right]", "results", "score", None)]
    more = told(resolved(utility=SPEC["utility"][1:]), resolved())
    assert [(one[0], one[2], one[3]["name"]) for one in more] == [("utility[right]", None, "right")]


@given(st.permutations(SPEC["utility"]))
def test_named_tables_have_no_order(utilities: list[Any]) -> None:
    assert told(resolved(), resolved(utility=utilities)) == []


def test_but_which_grouping_is_first_counts() -> None:
    swapped = SPEC["contributors"] | {"grouping": SPEC["contributors"]["grouping"][::-1]}
    assert told(resolved(), resolved(contributors=swapped)) == [("contributors.grouping", "results", "owner", "region")]


def test_order_counts_in_lists_of_plain_values() -> None:
    labels = [{"name": "eye", "source": "eye", "kind": "clip", "labels": {"a": ["x", "y"]}}]
    swapped = [{"name": "eye", "source": "eye", "kind": "clip", "labels": {"a": ["y", "x"]}}]
    assert [one[0] for one in told(resolved(encoder=labels), resolved(encoder=swapped))] == ["encoder[eye].labels.a"]


def test_keys_come_in_the_specs_order_whatever_the_documents() -> None:
    new = resolved(seed=9, intervals__level=0.8, name="z")
    backwards = dict(reversed(list(new.items())))
    assert [one[0] for one in told(resolved(), backwards)] == ["name", "seed", "intervals.level"]
    assert told(resolved(), backwards) == told(resolved(), new)


@pytest.mark.parametrize(
    ("changes", "role"),
    [
        ({"model__source": "elsewhere"}, "model"),
        ({"model__revision": "v2"}, "model"),
        ({"contributors": SPEC["contributors"] | {"manifest": "other.parquet"}}, "manifest"),
        ({"encoder": [{"name": "eye", "source": "eye2"}]}, "encoder eye"),
    ],
)
def test_another_place_with_the_same_content_changes_nothing(changes: dict[str, Any], role: str) -> None:
    old, new = resolved(), resolved(**changes)
    for after, sort in (("a", "cosmetic"), ("b", "results")):
        (change,) = key_changes(old, new, [file(role, "a")], [file(role, after)])
        assert change.sort == sort
    assert [one.sort for one in key_changes(old, new)] == ["results"]  # nobody knows


def test_true_is_not_one() -> None:
    options = [{"name": "eye", "kind": "plugin", "plugin": "p", "options": {"a": value}} for value in (True, 1)]
    assert [one[2:] for one in told(resolved(encoder=options[:1]), resolved(encoder=options[1:]))] == [(True, 1)]


def test_inputs_by_content() -> None:
    old = [file("spec", "0"), file("model", "1", "m"), file("manifest", "2"), file("reference quality", "3")]
    new = [file("spec", "9"), file("model", "1", "n"), file("manifest", "4"), file("encoder eye", "5")]
    found = {one.role: (one.old_digest, one.new_digest) for one in input_changes(old, new)}
    assert {role: tuple(one and one[0] for one in pair) for role, pair in found.items()} == {
        "manifest": ("2", "4"),
        "reference quality": ("3", None),
        "encoder eye": (None, "5"),
    }


def test_each_change_reaches_its_first_stage() -> None:
    keys = ["seed", "utility[x].kind", "intervals.level", "encoder[eye].source", "fidelity.anchors", "estimator.kind"]
    assert reached([*keys, "budget.coalitions", "budget.images", "estimator.trees", "flags.denoising_loss"]) == {
        "generate": ("seed", "budget.images"),
        "encode": ("encoder[eye].source",),
        "evaluate": ("utility[x].kind", "estimator.kind", "budget.coalitions"),
        "fit": ("intervals.level", "estimator.trees"),
        "fidelity": ("fidelity.anchors",),
        "record": ("flags.denoising_loss",),
    }
    assert reached(["reference quality", "manifest", "head taste", "plugin sharpness"]) == {
        "generate": ("manifest",),
        "encode": ("reference quality", "plugin sharpness"),
        "evaluate": ("head taste",),
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4), st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_any_documents_can_be_compared(old: dict[str, Any], new: dict[str, Any]) -> None:
    found = key_changes(old, new)
    assert all(isinstance(one, KeyChange) for one in found)
    assert key_changes(old, old) == ()
