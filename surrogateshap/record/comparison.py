"""Methods beside each other, as `surrogateshap compare` prints and keeps them."""

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from surrogateshap.record.results import AnchorKind, Measured
from surrogateshap.text import digest

if TYPE_CHECKING:
    from surrogateshap.store import Store


FAILED = "it failed"
"""Begins what is said of a method that was tried, in place of scores."""


class _Data(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class MethodCost(_Data):
    """What a method takes, or took."""

    images: int
    """Generated, those of the run's pool included where the method uses it."""
    training_steps: int
    gradients: int
    """Taken for single images or rows."""
    seconds: float | None
    """Of wall time; None where it was not measured."""


class RankAgreement(_Data):
    """Of a method's scores with the run's own ranking under one proxy; None where one of them is constant."""

    proxy: str
    spearman: float | None
    kendall: float | None
    """τ_b."""


class Removal(_Data):
    """The utility of models without the contributors that a method ranks highest, and lowest."""

    contributors: int
    """How many are left out."""
    without_top: float
    without_bottom: float


class UtilityComparison(_Data):
    """One method on one utility."""

    utility: str
    values: tuple[float, ...]
    """Scores in the order of `ComparisonReport.contributors`; higher is worth more."""
    lds: Measured | None = None
    """Linear datamodeling score: Spearman of Σ_{i∈S} φ_i with retrained values; None where nothing is known of it."""
    agreement: Measured | None = None
    """Spearman of the method's v(S) with retrained values; None where it has no v, or nothing is known of it."""
    ranking: tuple[RankAgreement, ...] = ()
    removals: tuple[Removal, ...] = ()
    """Fewest first."""


class ComparedMethod(_Data):
    """One method on all utilities."""

    name: str
    title: str
    paper: str
    refused: str | None = None
    """Why it has no scores."""
    stated: MethodCost | None = None
    """Cost as told beforehand."""
    spent: MethodCost | None = None
    """Cost as measured; what was kept from earlier attempts counts as it was measured then."""
    utilities: tuple[UtilityComparison, ...] = ()
    notes: tuple[str, ...] = ()


class ComparedUtility(_Data):
    """A utility of the run."""

    name: str
    v_empty: float
    v_full: float
    anchors: int
    """Retrained coalitions that the methods are measured on."""
    v_model: float | None = None
    """Of the frozen model's own images, to compare removals with; None where there are none."""


class ComparisonReport(_Data):
    """Methods on the contributors of one grouping of a run."""

    comparison_version: Literal[1] = 1
    run: str
    name: str
    plan_id: str
    grouping: str
    contributors: tuple[str, ...]
    level: float
    """Of the intervals."""
    kind: AnchorKind
    """How the anchors' models were made."""
    counterfactual: Literal["trainer", "fine_tuning"] | None = None
    """How the models without some contributors were made; None where none were asked for."""
    utilities: tuple[ComparedUtility, ...]
    methods: tuple[ComparedMethod, ...]
    truth: str = ""
    """Digest of the retrained coalitions and their values; empty where there are none."""
    notes: tuple[str, ...] = ()


def keep(store: "Store", made: ComparisonReport) -> None:
    """Keeps a report for `kept`. Methods of the last one on the same truth that are not in it stay beside."""
    before = next(iter(kept(store, made.run, [made.grouping])), None)
    if before is not None and (before.truth, before.kind, before.contributors) == (
        made.truth,
        made.kind,
        made.contributors,
    ):
        again = {method.name for method in made.methods}
        rest = tuple(method for method in before.methods if method.name not in again)
        if made.counterfactual and before.counterfactual != made.counterfactual:
            rest = tuple(map(_without_removals, rest))
        utilities = made.utilities if made.counterfactual else before.utilities
        how = made.counterfactual or before.counterfactual
        made = made.model_copy(
            update={"methods": (*made.methods, *rest), "utilities": utilities, "counterfactual": how}
        )
    store.remember(_key(made.run, made.grouping), store.put_json(made.model_dump(mode="json")), "compare")


def _without_removals(method: ComparedMethod) -> ComparedMethod:
    utilities = tuple(one.model_copy(update={"removals": ()}) for one in method.utilities)
    return method.model_copy(update={"utilities": utilities})


def kept(store: "Store", run: str, groupings: Iterable[str]) -> tuple[ComparisonReport, ...]:
    """The last reports of a run's methods, one for each grouping that has one. Another version's are left out."""
    found = []
    for grouping in groupings:
        key = _key(run, grouping)
        name = store.lookup([key]).get(key)
        document = store.get_json(name) if name is not None else None
        with suppress(ValidationError):
            if document is not None:
                found.append(ComparisonReport.model_validate(document))
    return tuple(found)


def _key(run: str, grouping: str) -> str:
    return digest({"comparison": run, "grouping": grouping})
