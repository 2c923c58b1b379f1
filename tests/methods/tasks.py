"""Tasks for methods: finished runs of tiny projects, small enough to train a model for every coalition."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surrogateshap.methods.task import Task
from surrogateshap.plan.compile import compile_spec
from surrogateshap.store import Store
from tests.tiny import SPEC, Project

OWNER = SPEC["contributors"] | {"grouping": [{"name": "owner", "by": ["owner"]}]}
UTILITIES = [
    {"name": "right", "kind": "score", "score": "condition"},
    {"name": "quality", "kind": "frechet", "reference": "manifest"},
]
TRAINING = {"steps": 3, "batch": 8, "learning_rate": 0.01, "rank": 2}


def changes(**compare: Any) -> dict[str, Any]:
    """Of a spec, for few coalitions of few images."""
    return {
        "contributors": OWNER,
        "utility": UTILITIES,
        "proxy": {"kind": "prompt"},
        "compare": {"images": 12, **compare},
    }


def make_task(project: Project, spec: Mapping[str, Any], store: Path | None = None, **more: Callable[..., Any]) -> Task:
    """Of a spec's run, which is made unless it is there."""
    place = store or project.store
    results = project.apply(spec, store=place)
    compiled = compile_spec(project.spec(spec))
    return Task(compiled, Store.open(place), results, compiled.checked.manifest.groupings[0].name, **more)


def equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether scores are the same to the bit."""
    return all(np.array_equal(one[name], other[name]) for name in (*one, *other))
