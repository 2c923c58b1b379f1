"""Whether a record's plan and results agree with what it says of them, and with themselves."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from pydantic import ValidationError

from surrogateshap.plan.hub import is_snapshot
from surrogateshap.plan.model import Plan
from surrogateshap.record.checks import Check
from surrogateshap.record.fidelity import described
from surrogateshap.record.results import UNCORRECTED, GameResult, Payout, Results
from surrogateshap.record.statement import Input, Predicate, flag_summaries_of, inputs_of, summaries_of
from surrogateshap.strangers import UnreadableError, parse_json, parse_model
from surrogateshap.text import digest, harmless

PARSED = ("plan.json", "results.json", "spec.toml")
"""Files whose bytes are looked into."""
_TOLERANCE = 1e-6


def check_plan(contents: Mapping[str, bytes], predicate: Predicate) -> Check:
    """The plan against the record; `contents` holds the bytes of the files that are parsed."""
    try:
        plan = parse_model(Plan, _parsed(contents, "plan.json"))
        inputs = inputs_of(plan)
    except (UnreadableError, ValidationError) as error:
        return Check(name="plan", holds=False, detail=harmless(str(error)))
    return _compare(
        "plan",
        "plan.json",
        {
            "plan_id": plan.plan_id == predicate.plan_id,
            "run": plan.run == predicate.run,
            "name": plan.name == predicate.name,
            "inputs": inputs == tuple(one.model_copy(update={"files": None}) for one in predicate.inputs),
            "files of the inputs": all(map(_files_agree, predicate.inputs)),
            "the spec's digest": predicate.pseudonyms or _spec_agrees(contents, predicate.inputs),
            "spec": plan.spec == predicate.spec,
            "seeds": predicate.seeds == {"spec": plan.spec.get("seed")},
        },
    )


def check_results(contents: Mapping[str, bytes], predicate: Predicate) -> Iterator[Check]:
    """The results against the record and against themselves."""
    try:
        results = parse_model(Results, _parsed(contents, "results.json"))
        summaries, flags = summaries_of(results), flag_summaries_of(results)
    except (UnreadableError, ValidationError) as error:
        yield Check(name="results", holds=False, detail=harmless(str(error)))
        return
    yield _compare(
        "results",
        "results.json",
        {
            "plan_id": results.plan_id == predicate.plan_id,
            "run": results.run == predicate.run,
            "name": results.name == predicate.name,
            "fidelity": results.fidelity == predicate.fidelity,
            "games": summaries == predicate.games,
            "flags": flags == predicate.flags,
        },
    )
    for game in results.games:
        yield _check_efficiency(game)
        if not _ranks_follow(game):
            name = harmless(f"ranking of {game.grouping} / {game.utility} / {game.proxy}")
            yield Check(name=name, holds=False, detail="ranks are not in the order of the values")
        if game.payout is not None:
            yield _check_payout(game, game.payout)
    if results.fidelity != "not measured" or any(game.fidelity for game in results.games):
        yield _check_fidelity(results)


def _files_agree(given: Input) -> bool:
    """Whether a listing of files has its input's digest. A repository at a commit has another one."""
    if given.files is None or is_snapshot(given.name):
        return True
    return given.digest in (digest(given.files), *given.files.values())


def _spec_agrees(contents: Mapping[str, bytes], inputs: Sequence[Input]) -> bool:
    named = [one.digest for one in inputs if one.role == "spec"]
    return "spec.toml" not in contents or named == [digest(contents["spec.toml"])]


def _ranks_follow(game: GameResult) -> bool:
    """Higher values have better ranks; equal ones may differ in their last digits."""
    rows = game.contributors
    slack = _TOLERANCE * max((abs(row.value) for row in rows), default=0.0)
    pairs = pairwise(rows)
    return all(a.rank <= b.rank and a.value >= b.value - slack for a, b in pairs) and all(
        row.rank_low <= row.rank <= row.rank_high for row in rows
    )


def _check_efficiency(game: GameResult) -> Check:
    """Σφ = v(N) − v(∅), less the gap where the estimator leaves one; relative to the largest number in it."""
    values = [row.value for row in game.contributors]
    gap = game.efficiency_gap if game.estimator in UNCORRECTED else 0.0
    total, expected = sum(values), game.v_full - game.v_empty - gap
    scale = max(map(abs, (game.v_full, game.v_empty, gap, *values)))
    holds = math.isfinite(total) and math.isfinite(expected) and abs(total - expected) <= _TOLERANCE * scale
    name = harmless(f"efficiency of {game.grouping} / {game.utility} / {game.proxy}")
    less = " less the efficiency gap" if game.estimator in UNCORRECTED else ""
    return Check(name=name, holds=holds, detail=f"values add up to {total:.9g}, v(N) − v(∅){less} is {expected:.9g}")


def _check_payout(game: GameResult, payout: Payout) -> Check:
    """Shares add up to 1, none is negative, and everyone of the ranking has one."""
    shares = [one.share for one in payout.shares]
    total = sum(shares)
    there = [one.name for one in payout.shares] == [row.name for row in game.contributors]
    holds = there and min(shares, default=-1.0) >= 0 and abs(total - 1) <= _TOLERANCE
    name = harmless(f"payout of {game.grouping} / {game.utility} / {game.proxy}")
    detail = f"shares add up to {total:.9g}" if there else "other names than in the ranking"
    return Check(name=name, holds=holds, detail=detail)


def _check_fidelity(results: Results) -> Check:
    """What is said of fidelity is what the games hold, and can be so."""
    wrong = []
    if results.fidelity != described([game.fidelity for game in results.games]):
        wrong.append("the words and the games differ")
    for game in results.games:
        found = game.fidelity
        if found is None:
            continue
        ends = [(one.low, one.value, one.high) for one in (found.spearman, found.lds)]
        names = {row.name for row in game.contributors}
        if not (
            all(-1 <= low <= value <= high <= 1 for low, value, high in ends)
            and sum(part.anchors for part in found.calibration) == found.anchors
            and (found.closed is None or {row.name for row in found.closed.contributors} == names)
        ):
            wrong.append(f"{game.grouping} / {game.utility} / {game.proxy} can't be so")
    return Check(name="fidelity", holds=not wrong, detail=harmless("; ".join(wrong)) if wrong else "as the games say")


def _compare(name: str, file: str, agreements: dict[str, bool]) -> Check:
    apart = [key for key, agrees in agreements.items() if not agrees]
    detail = f"{file} and the record differ in {', '.join(apart)}" if apart else f"{file} and the record agree"
    return Check(name=name, holds=not apart, detail=detail)


def _parsed(contents: Mapping[str, bytes], name: str) -> bytes:
    if name not in contents:
        raise UnreadableError(f"{name} is not there")
    parse_json(contents[name])
    return contents[name]
