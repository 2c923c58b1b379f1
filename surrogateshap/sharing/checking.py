"""`verify` in all its steps."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from surrogateshap.errors import PlanError, SpecError
from surrogateshap.record.checks import Check, VerifyReport, report
from surrogateshap.record.folder import RECORD
from surrogateshap.record.statement import Statement
from surrogateshap.record.verify import open_files
from surrogateshap.record.verify import verify as verify_files
from surrogateshap.strangers import UnreadableError, parse_model
from surrogateshap.text import digest, harmless

# What the later steps need is imported there: the first ones take a second.


def _nobody(_: str) -> None:
    """Tells nobody."""


def verify(
    record: Path,
    *,
    keys: Sequence[Path] = (),
    openings: Sequence[Path] = (),
    refit: bool = False,
    replay: int = 0,
    seed: int | None = None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
    execution: Mapping[str, object] = MappingProxyType({}),
    say: Callable[[str], None] = _nobody,
) -> VerifyReport:
    """Checks a record (a zip file, its folder or record.json) step by step; later steps need the first to hold.

    `keys` are files of public keys: each must have signed something here, and every statement be signed by one of them.
    `openings` reveal names behind pseudonyms. `refit` computes the Shapley values again, `replay` makes so many of the
    pool's images again, drawn by `seed`, a random one by default, with inputs beside the record or in `allow_paths`.
    `say` is told what takes long. Raises VerificationError where there is no record at all, and as a run does.
    """
    from surrogateshap.record.signatures import load_public_key

    first = verify_files(record, [load_public_key(key) for key in keys])
    checks, notes = list(first.checks), list(first.notes)
    if first.holds:
        checks += _openings(record, openings)
        if refit:
            checks += _refit(record)
        if replay:
            chosen = secrets.randbits(32) if seed is None else seed
            notes.append(f"Images to make again were drawn with --seed {chosen}.")
            checks += _replay(record, replay, chosen, allow_paths, allow_plugins, execution, say)
    elif openings or refit or replay:
        notes.append("Further steps were left out: what they rest on does not hold.")
    return report(Path(first.record), checks, notes)


def _openings(record: Path, openings: Sequence[Path]) -> Iterator[Check]:
    if not openings:
        return
    from surrogateshap.sharing.pseudonyms import check_opening, read_opening

    _, files = open_files(record)
    data = files.read(RECORD)
    names = {one.name for game in parse_model(Statement, data).predicate.games for one in game.ranking}
    for path in openings:
        yield check_opening(read_opening(path), digest(data), names)


def _refit(record: Path) -> list[Check]:
    from surrogateshap.sharing.refit import refit

    return list(refit(record))


def _replay(
    record: Path,
    images: int,
    seed: int,
    allow_paths: Sequence[Path],
    allow_plugins: Sequence[str],
    execution: Mapping[str, object],
    say: Callable[[str], None],
) -> Iterator[Check]:
    """Every reason why it can't be done is a check that fails: nothing was proved."""
    from surrogateshap.plan.build import build_plan
    from surrogateshap.plan.compile import compile_spec
    from surrogateshap.targets import pins_of_plan, plan_in_record

    path, files = open_files(record)
    if path.name == RECORD:
        detail = "needs the record as `export` writes it"
        yield Check(step="replay", name="images", holds=False, detail=detail)
        return
    try:
        saved = plan_in_record(path, files)
        compiled = compile_spec(path, allow_paths, allow_plugins, pins=pins_of_plan(saved)).with_execution(execution)
    except (PlanError, SpecError) as error:
        detail = error.problems[0].message if isinstance(error, SpecError) else error.message
        remedy = "; name the folder of its inputs with --allow-path" if isinstance(error, SpecError) else ""
        yield Check(step="replay", name="inputs", holds=False, detail=f"{harmless(detail, 1000)}{remedy}")
        return
    statement = parse_model(Statement, files.read(RECORD))
    if compiled.plan_id != statement.predicate.plan_id:
        from surrogateshap.targets import refuse_stale

        moved = refuse_stale(saved, build_plan(compiled, None), path).warnings[-1]
        yield Check(step="replay", name="inputs", holds=False, detail=harmless(moved, 1000))
        return
    try:
        tables = {name: files.read(name, 1 << 30) for name in files.names if name.startswith("pool-")}
    except UnreadableError as error:
        yield Check(step="replay", name="images", holds=False, detail=str(error))
        return
    from surrogateshap.execute.replay import replay

    yield from replay(compiled, tables, images, seed, say)
