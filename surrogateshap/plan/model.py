"""The plan as plain data: the same bytes for the same inputs and the same store.

`plan_id` is a digest of everything that changes results, and of nothing else: no path, host, time or cache state.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from surrogateshap.events import GameInfo
from surrogateshap.spec.model import EstimatorName

StageKind = Literal["generate", "encode", "flags", "evaluate", "fit", "fidelity", "record"]
StageState = Literal["new", "partial", "cached"]


class _Data(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class InputFile(_Data):
    """A file or folder that the results depend on."""

    role: str
    """`spec`, `model`, `manifest`, `encoder digits`, `reference quality`, …"""
    name: str
    """As the spec names it."""
    digest: str
    """SHA-256 of the content; of a folder, of its files' relative names and digests."""
    bytes: int


class GroupingPlan(_Data):
    """The contributors that one grouping makes of the manifest."""

    name: str
    contributors: int
    rows: int
    rows_min: int
    rows_max: int


class PoolPlan(_Data):
    """The images that serve every coalition of one proxy."""

    proxy: str
    images: int
    """All pool images, the unconditional ones included."""
    unconditional: int
    conditions: int
    """That have an image."""
    steps_per_image: int
    per_contributor_min: int
    """Fewest images that any contributor of the first grouping rests on."""
    per_contributor_max: int
    digest: str
    """Of the table of images: what each is conditioned on, seeded with and made from."""
    conditions_in_all: int = 0
    """Of the manifest. Those without an image are represented by others of their contributors."""


class GamePlan(_Data):
    """One game and how its Shapley values are estimated."""

    info: GameInfo
    estimator: EstimatorName
    coalitions: int
    """Evaluated: all of them where the estimator is exact, else those drawn, and N."""
    coalitions_because: str = ""
    """Why as many."""
    indistinguishable: tuple[tuple[str, ...], ...]
    """Sets of contributors that this proxy can't tell apart: same conditions in the same proportions."""


class Stage(_Data):
    """One step of the run."""

    id: str
    kind: StageKind
    title: str
    unit: str
    total: int
    cached: int
    state: StageState
    because: str
    """Why work is pending: nothing of it is there, or which key of the spec changed since the last run; else empty."""
    seconds: float | None
    """Estimated, for what is pending; None where nothing was measured yet."""
    basis: str
    """Where the estimate comes from."""


class Cost(_Data):
    """What the pending work takes."""

    images: int
    denoising_steps: int
    """Evaluations of the denoiser; classifier-free guidance counts twice."""
    seconds: float | None
    """None where a stage's time was never measured."""
    disk_bytes: int
    memory_bytes: int
    fresh_images: int
    """Images that fresh sampling, at its defaults, would generate for the same groupings and proxies; else 0."""
    retrainings: int
    """Models that would be trained if as many coalitions per grouping were retrained."""
    gpu_seconds: float | None = None
    """Of all GPUs together; 0 without one, None where a stage's time on it was never measured."""


class Plan(_Data):
    """What `apply` would do."""

    plan_version: Literal[1] = 1
    plan_id: str
    run: str
    """Name of the run that applying it makes or resumes."""
    name: str
    spec_file: str
    """As the user named it; not part of the identity."""
    spec: dict[str, Any]
    """The spec as resolved: every default filled in."""
    inputs: tuple[InputFile, ...]
    groupings: tuple[GroupingPlan, ...]
    pools: tuple[PoolPlan, ...]
    games: tuple[GamePlan, ...]
    stages: tuple[Stage, ...]
    cost: Cost
    warnings: tuple[str, ...]
    stops_when: tuple[str, ...] = ()
    """Rules in words, any of which ends the filling of a pool: until then images are counted at most."""

    @property
    def pending(self) -> bool:
        """Whether applying it would compute anything."""
        return any(stage.state != "cached" for stage in self.stages)
