"""The record of a run: an in-toto Statement v1 about the run's files, the same bytes for the same run.

Format: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from surrogateshap.plan.model import Plan
from surrogateshap.record.results import UNCORRECTED, EstimatorName, Results

_StatementType = Literal["https://in-toto.io/Statement/v1"]
_PredicateType = Literal["https://surrogateshap.dev/attestation/contributor-values/v1"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]
"""A plain file name: no separator, no leading dot."""


class _Data(BaseModel):
    model_config = ConfigDict(
        defer_build=True,
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_by_name=True,
        serialize_by_alias=True,
    )


class Digests(_Data):
    """in-toto's DigestSet, with the one algorithm used here."""

    sha256: Sha256


class Subject(_Data):
    """A file beside the record."""

    name: FileName
    digest: Digests


class Input(_Data):
    """Something that the run was computed from."""

    role: str
    name: str
    """As the spec names it."""
    digest: Sha256


class Device(_Data):
    """Where images of the pool were made."""

    device: str
    dtype: str
    threads: int
    """CPU threads."""


class Environment(_Data):
    """What it was computed with; may move the last digits."""

    versions: dict[str, str]
    """Of surrogateshap, Python and the packages that compute."""
    devices: tuple[Device, ...]
    """More than one where a pool was filled on several."""
    batch_size: int


class GameSummary(_Data):
    """One game without its ranking, which stands in results.json."""

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
    indistinguishable: tuple[tuple[str, ...], ...]


class Predicate(_Data):
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
    fidelity: str
    limits: tuple[str, ...]
    """What the values can't tell."""
    checksum: str
    """SHA-256 of the record with this field empty; finds damage, not forgery."""


class Statement(_Data):
    """A whole record."""

    type: _StatementType = Field(alias="_type", default="https://in-toto.io/Statement/v1")
    subject: tuple[Subject, ...] = Field(max_length=64)
    predicate_type: _PredicateType = Field(
        alias="predicateType", default="https://surrogateshap.dev/attestation/contributor-values/v1"
    )
    predicate: Predicate


def build_statement(
    *, results: Results, plan: Plan, subjects: Mapping[str, bytes], environment: Environment
) -> dict[str, Any]:
    """The record, as JSON data, of a run with these `subjects` (plain file name -> content).

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
            inputs=inputs_of(plan),
            spec=plan.spec,
            seeds={"spec": plan.spec["seed"]},
            environment=environment,
            games=summaries_of(results),
            fidelity=results.fidelity,
            limits=limits_of(results),
            checksum="",
        ),
    )
    document: dict[str, Any] = statement.model_dump(mode="json")
    document["predicate"]["checksum"] = checksum(document)
    return document


def statement_bytes(statement: Mapping[str, Any]) -> bytes:
    """The one form of a record: sorted keys, ASCII. Raises ValueError on NaN and infinities."""
    return (json.dumps(statement, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def checksum(statement: Mapping[str, Any]) -> str:
    """What the `checksum` field of the record must hold."""
    predicate = {**statement["predicate"], "checksum": ""}
    return hashlib.sha256(statement_bytes({**statement, "predicate": predicate})).hexdigest()


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
            indistinguishable=game.indistinguishable,
        )
        for game in results.games
    )


_PROXY_LIMITS = {
    "prompt": "The prompt proxy values conditions and not data: contributors with the same conditions in the same "
    "proportions get the same value, whatever their images show.",
    "image": "The image proxy lets the frozen model denoise each contributor's own images: it shows which data harm, "
    "and understates how much.",
}


def limits_of(results: Results) -> tuple[str, ...]:
    """What these results can't tell, in plain words."""
    proxies = sorted({game.proxy for game in results.games})
    blind = sorted(
        {(game.grouping, game.proxy, len(game.indistinguishable)) for game in results.games if game.indistinguishable}
    )
    return (
        "The values are those of a proxy game: every coalition is measured on images of one frozen model that was "
        "trained on everyone's data. No model was retrained.",
        *(_PROXY_LIMITS[proxy] for proxy in proxies if proxy in _PROXY_LIMITS),
        *(
            f"Grouping {grouping}, {proxy} proxy: {sets} set(s) of contributors can't be told apart, and get equal "
            "values for that reason alone."
            for grouping, proxy, sets in blind
        ),
        *(
            f"Values by {estimator} are no Shapley values: they don't add up to v(N) − v(∅)."
            for estimator in sorted({game.estimator for game in results.games} & UNCORRECTED)
        ),
        *(
            f"The {one.proxy} proxy's pool was filled in {one.rounds} round(s), to {one.images} of at most "
            f"{one.at_most} images: {one.rule or 'the budget was spent before a rule held'}. Where they went, and when "
            "they were enough, was decided by looking at intervals, which may hold the truth less often for it."
            for one in results.stopped
        ),
        "The values hold for this model, sampler, seed and these utilities.",
        "The intervals cover the sampling of images and of coalitions, not how the proxy differs from retraining.",
        "The bias that a finite pool gives is taken off exactly for pairwise and kernel distances, to first order for "
        "Fréchet distances and inception scores, and not at all for quantiles. Where a coalition has hardly more "
        "images than there are features, a part of a Fréchet distance's remains.",
        "Fidelity was not measured: how far the values agree with retrained models is unknown.",
        "This record is not signed: its digests find damage, not forgery.",
    )
