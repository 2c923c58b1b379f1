"""The record of a run: an in-toto Statement v1 about the run's files, the same bytes for the same run.

Format: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from surrogateshap.archive import MOST_FILES, PLAIN_NAME
from surrogateshap.plan.model import Plan
from surrogateshap.record.limits import limits_of
from surrogateshap.record.results import AnchorKind, ContributorFlags, EstimatorName, Fidelity, Results

StatementType = Literal["https://in-toto.io/Statement/v1"]
_PredicateType = Literal["https://surrogateshap.dev/attestation/contributor-values/v1"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=f"^{PLAIN_NAME.pattern}$")]
"""A plain file name: no separator, no leading dot."""


class StatementData(BaseModel):
    """What statements are made of: strict, frozen, finite."""

    model_config = ConfigDict(
        defer_build=True,
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_by_name=True,
        serialize_by_alias=True,
    )


class Digests(StatementData):
    """in-toto's DigestSet, with the one algorithm used here."""

    sha256: Sha256


class Subject(StatementData):
    """A file beside the record."""

    name: FileName
    digest: Digests


class Input(StatementData):
    """Something that the run was computed from."""

    role: str
    name: str
    """As the spec names it; of the hub's repositories with the commit."""
    digest: Sha256
    """Of the file; of a folder, of its files' relative names and digests; of a repository at a commit, of those."""
    files: dict[str, Sha256] | None = None
    """The folder's or repository's files by relative name; None where they were not there to be looked at."""


class Device(StatementData):
    """Where images of the pool were made."""

    device: str
    dtype: str
    threads: int
    """CPU threads."""


class Revision(StatementData):
    """A commit of a git repository."""

    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40,64}$")]
    dirty: bool
    """Whether what counts here differs from the commit."""


class Environment(StatementData):
    """What it was computed with; may move the last digits."""

    versions: dict[str, str]
    """Of surrogateshap, Python and the packages that compute."""
    devices: tuple[Device, ...]
    """More than one where a pool was filled on several."""
    batch_size: int
    code: Revision | None = None
    """Of surrogateshap, where it ran from a checkout; dirty where a file of the package differs."""
    project: Revision | None = None
    """Of the repository that the spec lies in; dirty where the spec differs."""


class FidelitySummary(StatementData):
    """A game's fidelity without its calibration curve and the corrected ranking."""

    kind: AnchorKind
    anchors: int
    spearman: float
    spearman_low: float
    spearman_high: float
    lds: float
    lds_low: float
    lds_high: float
    intercept: float
    slope: float
    closed_r2: float | None
    """Held-out R² of the retraining game as estimated from the anchors; None where it wasn't."""


class Ranked(StatementData):
    """One contributor's place in a ranking."""

    name: str
    rank: int
    rank_low: int
    rank_high: int
    value: float
    low: float
    high: float


class GameSummary(StatementData):
    """One game; what else is known of it stands in results.json."""

    grouping: str
    utility: str
    proxy: str
    v_empty: float
    v_full: float
    estimator: EstimatorName
    contributors: int
    coalitions: int
    images: int
    efficiency_gap: float
    cv_r2: float | None
    """None where no surrogate was fitted."""
    level: float
    """Coverage of the intervals."""
    ranking: tuple[Ranked, ...]
    """Highest value first."""
    indistinguishable: tuple[tuple[str, ...], ...]
    fidelity: FidelitySummary | None = None
    """None where it wasn't measured."""


class CoalitionValues(StatementData):
    """Where the values of one game's coalitions stand."""

    grouping: str
    utility: str
    proxy: str
    file: FileName
    column: str


class FlagSummary(StatementData):
    """The flags of one grouping, whose reasons stand in results.json."""

    grouping: str
    contributors: int
    """That were looked at."""
    images: int
    """Of all of them together."""
    flagged: tuple[str, ...]
    """Contributors of which something stands out."""


class Predicate(StatementData):
    """What the record says of its subjects."""

    record_version: Literal[1] = 1
    plan_id: str
    run: str
    name: str
    inputs: tuple[Input, ...]
    spec: dict[str, Any]
    """As resolved: every default filled in."""
    seeds: dict[str, int]
    environment: Environment
    games: tuple[GameSummary, ...]
    coalitions: tuple[CoalitionValues, ...] = ()
    flags: tuple[FlagSummary, ...] = ()
    """Empty where nobody asked for them."""
    fidelity: str
    limits: tuple[str, ...]
    """What the values can't tell."""
    pseudonyms: bool = False
    """Whether contributors go by salted hashes of their names."""
    checksum: str
    """SHA-256 of the record with this field empty, as JSON on one line; finds damage, not forgery."""


class Statement(StatementData):
    """A whole record."""

    type: StatementType = Field(alias="_type", default="https://in-toto.io/Statement/v1")
    subject: tuple[Subject, ...] = Field(max_length=MOST_FILES)
    predicate_type: _PredicateType = Field(
        alias="predicateType", default="https://surrogateshap.dev/attestation/contributor-values/v1"
    )
    predicate: Predicate


def build_statement(
    *,
    results: Results,
    plan: Plan,
    subjects: Mapping[str, bytes],
    environment: Environment,
    coalitions: Sequence[CoalitionValues] = (),
    inputs: Sequence[Input] | None = None,
    pseudonyms: bool = False,
    limits: Sequence[str] = (),
) -> dict[str, Any]:
    """The record, as JSON data, of a run with these `subjects` (plain file name -> content).

    `inputs` stand in the place of the plan's; `limits` are more than the results' own.

    Raises pydantic's ValidationError where a name or a number is not what a record can hold.
    """
    statement = Statement(
        subject=tuple(
            Subject(name=name, digest=Digests(sha256=hashlib.sha256(data).hexdigest()))
            for name, data in sorted(subjects.items())
        ),
        predicate=Predicate(
            plan_id=plan.plan_id,
            run=results.run,
            name=plan.name,
            inputs=inputs_of(plan) if inputs is None else tuple(inputs),
            spec=plan.spec,
            seeds={"spec": plan.spec["seed"]},
            environment=environment,
            games=summaries_of(results),
            coalitions=tuple(coalitions),
            flags=flag_summaries_of(results),
            fidelity=results.fidelity,
            limits=(*limits_of(results), *limits),
            pseudonyms=pseudonyms,
            checksum="",
        ),
    )
    return sealed(statement)


def sealed(statement: BaseModel) -> dict[str, Any]:
    """The statement as JSON data, with the checksum that its predicate must hold."""
    document: dict[str, Any] = statement.model_dump(mode="json")
    document["predicate"]["checksum"] = checksum(document)
    return document


def statement_bytes(statement: Mapping[str, Any]) -> bytes:
    """The one form of a record: sorted keys, ASCII. Raises ValueError on NaN and infinities."""
    return (json.dumps(statement, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def checksum(statement: Mapping[str, Any]) -> str:
    """What the `checksum` field of the record must hold."""
    predicate = {**statement["predicate"], "checksum": ""}
    return hashlib.sha256(compact({**statement, "predicate": predicate})).hexdigest()


def compact(value: Any) -> bytes:
    """The same JSON on one line, quicker to write. Raises ValueError on NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def inputs_of(plan: Plan) -> tuple[Input, ...]:
    """The plan's inputs by digest."""
    return tuple(Input(role=file.role, name=file.name, digest=file.digest) for file in plan.inputs)


def summaries_of(results: Results) -> tuple[GameSummary, ...]:
    """What the record repeats of each game's results."""
    return tuple(
        GameSummary(
            grouping=game.grouping,
            utility=game.utility,
            proxy=game.proxy,
            v_empty=game.v_empty,
            v_full=game.v_full,
            estimator=game.estimator,
            contributors=len(game.contributors),
            coalitions=game.coalitions,
            images=game.images,
            efficiency_gap=game.efficiency_gap,
            cv_r2=game.surrogate.cv_r2 if game.surrogate else None,
            level=game.level,
            ranking=tuple(
                Ranked(
                    name=one.name,
                    rank=one.rank,
                    rank_low=one.rank_low,
                    rank_high=one.rank_high,
                    value=one.value,
                    low=one.low,
                    high=one.high,
                )
                for one in game.contributors
            ),
            indistinguishable=game.indistinguishable,
            fidelity=fidelity_summary(game.fidelity),
        )
        for game in results.games
    )


def flag_summaries_of(results: Results) -> tuple[FlagSummary, ...]:
    """What the record repeats of the flags."""
    by_grouping: dict[str, list[ContributorFlags]] = {}
    for one in results.flags:
        by_grouping.setdefault(one.grouping, []).append(one)
    return tuple(
        FlagSummary(
            grouping=grouping,
            contributors=len(contributors),
            images=sum(one.images for one in contributors),
            flagged=tuple(one.name for one in contributors if one.flags),
        )
        for grouping, contributors in by_grouping.items()
    )


def fidelity_summary(found: Fidelity | None) -> FidelitySummary | None:
    """What records repeat of a game's fidelity."""
    if found is None:
        return None
    return FidelitySummary(
        kind=found.kind,
        anchors=found.anchors,
        spearman=found.spearman.value,
        spearman_low=found.spearman.low,
        spearman_high=found.spearman.high,
        lds=found.lds.value,
        lds_low=found.lds.low,
        lds_high=found.lds.high,
        intercept=found.intercept,
        slope=found.slope,
        closed_r2=found.closed.r2.value if found.closed is not None else None,
    )
