"""The results of a run, in the shape that `show --format json` prints."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

EstimatorName = Literal["surrogate", "exact", "kernel", "permutation", "leave_one_out", "surrogateshap_paper"]


class _Data(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class ContributorResult(_Data):
    """One contributor in one game."""

    name: str
    rows: int | None
    """Training rows; None where a table of coalitions came without them."""
    value: float
    """Shapley value, in the utility's unit."""
    low: float
    high: float
    """Interval for the value, at the game's `level`; pool images and coalitions together."""
    sd_images: float
    """Standard error that comes from the pool's images."""
    sd_coalitions: float
    """Standard error that comes from sampling coalitions; 0 where all were evaluated."""
    rank: int
    """1 is the highest value."""
    rank_low: int
    rank_high: int
    """Interval for the rank, at the same level."""
    share: float | None
    """The value over v(N) − v(∅); None where that is smaller than some value alone: gains and losses cancel then."""


class SurrogateDiagnostics(_Data):
    """How well the trees fit."""

    cv_r2: float
    """R² on held-out coalitions, cross-validated."""
    trees: int


class Interaction(_Data):
    """Pairwise Shapley interaction index: what two contributors are worth together beyond what each is worth alone."""

    a: str
    b: str
    value: float


class GameResult(_Data):
    """One game's Shapley values and what they rest on."""

    grouping: str
    utility: str
    proxy: str
    v_empty: float
    v_full: float
    efficiency_gap: float
    """(v(N) − v(∅)) − Σφ before the correction that makes it zero."""
    estimator: EstimatorName
    coalitions: int
    images: int
    """0 where the values came as a table."""
    level: float
    surrogate: SurrogateDiagnostics | None
    indistinguishable: tuple[tuple[str, ...], ...]
    """Sets of contributors that this game can't tell apart."""
    contributors: tuple[ContributorResult, ...]
    """Ranked, highest value first; ties by name."""
    distinct: int | None = None
    """Different coalitions among a table's, without ∅ and N."""
    interactions: tuple[Interaction, ...] | None = None
    """Every pair, strongest first; None where nobody asked for them."""
    warnings: tuple[str, ...] = ()
    """What to know before these numbers are used."""


class Results(_Data):
    """All games of a run."""

    results_version: Literal[1] = 1
    run: str
    plan_id: str
    name: str
    fidelity: Literal["not measured"] = "not measured"
    """Agreement with retrained models."""
    games: tuple[GameResult, ...]
