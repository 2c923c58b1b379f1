"""The results of a run, in the shape that `show --format json` prints."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from surrogateshap.spec.model import EstimatorName as EstimatorName

if TYPE_CHECKING:
    from surrogateshap.games.encoded import Floats

UNCORRECTED: frozenset[EstimatorName] = frozenset({"leave_one_out", "surrogateshap_paper"})
"""Estimators whose values miss v(N) − v(∅) by the efficiency gap: they are not Shapley values."""

_MOST_HELD_OUT = 300

AnchorKind = Literal["retrained", "fine_tuned"]


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
    in_top: float | None = None
    """Probability of being among the game's `top` highest; None where nothing is known of it."""
    share: float | None
    """The value over v(N) − v(∅); None where that is smaller than some value alone: gains and losses cancel then."""


class HeldOut(_Data):
    """One coalition that the surrogate didn't see."""

    predicted: float
    evaluated: float


class SurrogateDiagnostics(_Data):
    """How well the trees fit."""

    cv_r2: float
    """R² on held-out coalitions, cross-validated."""
    trees: int
    held_out: tuple[HeldOut, ...] = ()
    """Up to 300 of the coalitions that `cv_r2` was measured on; empty where an older version measured it."""

    @classmethod
    def of(cls, cv_r2: float | None, trees: int, held_out: "Floats | None") -> "SurrogateDiagnostics | None":
        """From a fit, with predicted beside evaluated values (k, 2); None where nothing was measured."""
        if cv_r2 is None:
            return None
        pairs = held_out.tolist() if held_out is not None else []
        kept = pairs[:: -(-len(pairs) // _MOST_HELD_OUT)] if pairs else []
        return cls(cv_r2=cv_r2, trees=trees, held_out=tuple(HeldOut(predicted=x, evaluated=y) for x, y in kept))


class Interaction(_Data):
    """Pairwise Shapley interaction index: what two contributors are worth together beyond what each is worth alone."""

    a: str
    b: str
    value: float


class Measured(_Data):
    """A number with its bootstrap interval, at the game's level."""

    value: float
    low: float
    high: float


class CalibrationBin(_Data):
    """Anchors with similar proxy values."""

    anchors: int
    proxy: float
    """Mean of the proxy game's values."""
    retrained: float
    """Mean of the retrained values."""


class AnchorPoint(_Data):
    """One anchor's two values."""

    proxy: float
    retrained: float


class ClosedGap(_Data):
    """The retraining game as estimated from the proxy game and the anchors: proxy + a regularised model of the rest."""

    anchors: int
    """That the model of the rest was fitted to."""
    r2: Measured
    """On anchors that the fit didn't see, cross-validated."""
    proxy_r2: float
    """Of the proxy's values as they are, on the same anchors."""
    contributors: tuple[ContributorResult, ...]
    """Ranked, highest value first; ties by name."""


class Fidelity(_Data):
    """How well a proxy game agrees with the retraining game, measured on anchors."""

    kind: AnchorKind
    anchors: int
    spearman: Measured
    """Rank correlation of the proxy game's values with the retrained ones."""
    lds: Measured
    """Linear datamodeling score: rank correlation of Σ_{i∈S} φ_i with the retrained values (Park et al. 2023)."""
    intercept: float
    slope: float
    """Of the regression of retrained on proxy values: 1 where the proxy understates nothing."""
    calibration: tuple[CalibrationBin, ...]
    closed: ClosedGap | None
    """None where the anchors are too few."""
    notes: tuple[str, ...] = ()
    """What to know of the anchors."""
    points: tuple[AnchorPoint, ...] = ()
    """The first 500 anchors one by one; empty where an older version measured them."""


class PayoutShare(_Data):
    """One contributor's part of what is shared out."""

    name: str
    share: float
    """Between 0 and 1; all of a game's add up to 1."""
    low: float
    high: float
    """Interval for the share, at the game's level."""
    amount: float | None
    """None where the spec names no amount."""


class Payout(_Data):
    """Shares for payment of one game."""

    rule: str
    """In a sentence, as it was applied."""
    shares: tuple[PayoutShare, ...]
    """In the order of the ranking."""


class ContributorFlags(_Data):
    """What the frozen model says of one contributor's own images."""

    grouping: str
    name: str
    images: int
    """Rows that were looked at."""
    conditional: float
    """Mean denoising loss under the rows' own conditions."""
    unconditional: float | None
    """Mean denoising loss without a condition; None where the model has no such thing."""
    flags: tuple[str, ...]
    """What stands out, in words."""
    note: str = ""
    """Why nothing can be said of it, where that is so."""


class GameResult(_Data):
    """One game's Shapley values and what they rest on."""

    grouping: str
    utility: str
    proxy: str
    v_empty: float
    v_full: float
    efficiency_gap: float
    """(v(N) − v(∅)) − Σφ before the correction that makes it zero; those in `UNCORRECTED` keep it."""
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
    """Pairs, strongest first: all of a table's, and of a run's as many as `warnings` says; None where nobody asked."""
    top: int | None = None
    """k of the contributors' `in_top`."""
    fidelity: Fidelity | None = None
    """None where it wasn't measured."""
    payout: Payout | None = None
    """None where the spec asks for none."""
    warnings: tuple[str, ...] = ()
    """What to know before these numbers are used."""


class Stopped(_Data):
    """How the pool of one proxy was filled under `budget.stop_when`."""

    proxy: str
    images: int
    """That were used."""
    at_most: int
    """The budget."""
    rounds: int
    """The pilot included."""
    rule: str | None
    """The rule that held, in words; None where the budget was spent before one did."""


class Results(_Data):
    """All games of a run."""

    results_version: Literal[1] = 1
    run: str
    plan_id: str
    name: str
    fidelity: str = "not measured"
    """Agreement with retrained models, in words."""
    games: tuple[GameResult, ...]
    flags: tuple[ContributorFlags, ...] = ()
    """Empty where nobody asked for them."""
    stopped: tuple[Stopped, ...] = ()
    """One per pool; empty where the spec has no `stop_when`."""
