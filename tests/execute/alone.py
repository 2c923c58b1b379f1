"""What a run on a cluster is compared with."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from surrogateshap import api
from surrogateshap.execute.backends import Backend, choose
from surrogateshap.plan.compile import Compiled
from surrogateshap.store import Store
from tests.tiny import Project, run_files


def files_of_one_process(
    tiny: Project, changes: dict[str, Any], execution: Mapping[str, object] = MappingProxyType({})
) -> dict[str, bytes]:
    """The run's folder, where one process of this machine did the work that the plan gives to another backend."""

    def alone(compiled: Compiled, store: Store, *others: Any) -> Backend:
        return open_backend(compiled.with_execution({"backend": "local", "workers": 1}), store, *others)

    open_backend = choose.open_backend
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("surrogateshap.execute.run.open_backend", alone)
        return run_files(tiny.store, api.apply(tiny.spec(changes), execution=execution).run)
