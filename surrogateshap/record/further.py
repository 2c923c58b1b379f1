"""Statements that were appended to a record: later facts about it, each about all that was there before it."""

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from surrogateshap.archive import MOST_FILES
from surrogateshap.record.results import AnchorKind, Results
from surrogateshap.record.statement import (
    Digests,
    FidelitySummary,
    Sha256,
    StatementData,
    StatementType,
    Subject,
    checksum,
    compact,
    fidelity_summary,
    sealed,
    statement_bytes,
)
from surrogateshap.strangers import UnreadableError, parse_json, parse_model
from surrogateshap.text import digest

_NAME = re.compile(r"statement-(\d{3})-fidelity\.json")
_Type = Literal["https://surrogateshap.dev/attestation/fidelity/v1"]
MOST = 999


class Anchors(StatementData):
    """The table of retrained coalitions that a fidelity was measured against."""

    name: str
    digest: Sha256
    kind: AnchorKind


class GameFidelity(StatementData):
    """One game's."""

    grouping: str
    utility: str
    proxy: str
    fidelity: FidelitySummary | None
    """None where it could not be measured."""


class FidelityPredicate(StatementData):
    """How far a record's games agree with retrained models, measured after it was made."""

    record_version: Literal[1] = 1
    run: str
    plan_id: str
    against: Anchors
    games: tuple[GameFidelity, ...]
    fidelity: str
    """In words."""
    versions: dict[str, str]
    checksum: Annotated[str, StringConstraints(max_length=64)]
    """As a record's."""


class FidelityStatement(StatementData):
    """An appended statement of fidelity."""

    type: StatementType = Field(alias="_type", default="https://in-toto.io/Statement/v1")
    subject: tuple[Subject, ...] = Field(max_length=MOST_FILES)
    """The record and every statement that was there before."""
    predicate_type: _Type = Field(alias="predicateType", default="https://surrogateshap.dev/attestation/fidelity/v1")
    predicate: FidelityPredicate


def number_of(name: str) -> int | None:
    """Place of a further statement among the others; None for other files."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def fidelity_statement(
    results: Results, against: Anchors, versions: Mapping[str, str], before: Mapping[str, bytes]
) -> dict[str, Any]:
    """The statement, as JSON data, of results that were measured later. `before`: the record's statements so far."""
    return sealed(
        FidelityStatement(
            subject=_subjects(before),
            predicate=FidelityPredicate(
                run=results.run,
                plan_id=results.plan_id,
                against=against,
                games=tuple(
                    GameFidelity(
                        grouping=game.grouping,
                        utility=game.utility,
                        proxy=game.proxy,
                        fidelity=fidelity_summary(game.fidelity),
                    )
                    for game in results.games
                ),
                fidelity=results.fidelity,
                versions=dict(versions),
                checksum="",
            ),
        )
    )


def fault_of(
    data: bytes, before: Mapping[str, bytes], run: str, plan_id: str, games: Collection[tuple[str, str, str]]
) -> str:
    """What is wrong with a further statement of a record, given those before it; empty where nothing is."""
    try:
        document = parse_json(data)
        found = parse_model(FidelityStatement, compact(document))
    except UnreadableError as error:
        return str(error)
    if found.predicate.checksum != checksum(document) or data != statement_bytes(document):
        return "changed after it was written"
    if found.subject != _subjects(before):
        return "is not about the record and the statements before it"
    if (found.predicate.run, found.predicate.plan_id) != (run, plan_id):
        return "is about another run"
    if any((game.grouping, game.utility, game.proxy) not in games for game in found.predicate.games):
        return "is about games that the record doesn't have"
    return ""


def _subjects(before: Mapping[str, bytes]) -> tuple[Subject, ...]:
    return tuple(Subject(name=name, digest=Digests(sha256=digest(data))) for name, data in sorted(before.items()))
