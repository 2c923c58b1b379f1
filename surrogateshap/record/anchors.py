"""A folder of anchors: which coalitions to retrain, the rows of each, what was trained, and the table of values."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from surrogateshap.errors import PlanError, RunError
from surrogateshap.plan.anchor_choice import choose_coalitions, half_size_coalitions
from surrogateshap.plan.compile import Compiled, indistinguishable
from surrogateshap.plan.manifest import Grouping, Manifest
from surrogateshap.spec.paths import path_from
from surrogateshap.store.atomic import atomic_write_bytes, make_folder
from surrogateshap.strangers import UnreadableError, read_file
from surrogateshap.text import digest, harmless
from surrogateshap.units import plural

PLAN, TABLE, README = "anchors.json", "anchors.parquet", "README.txt"
ROWS, MODEL, LOG, STATE = "rows.parquet", "model", "trainer.log", "trained.json"
_LIMIT = 256 << 20
_README = """Coalitions worth retraining, chosen by surrogateshap.

anchors.json     which contributors each coalition has
ID/rows.parquet  the rows to train the model of coalition ID on: those of the manifest, and their numbers in it
ID/model         where its model belongs, in diffusers layout
anchors.parquet  once models were evaluated: the value of each coalition, for `surrogateshap evaluate`

Train each model on its rows alone, from scratch, as the model of the run was trained. Either by the spec's command:

    surrogateshap anchors train FOLDER --allow-commands

or in your own way, put it into ID/model, and have it evaluated:

    surrogateshap anchors train FOLDER

Then say how far the values of the run can be believed:

    surrogateshap evaluate RUN --against FOLDER/anchors.parquet

All contributors together are not among them: the model of the run is theirs.
"""


class _Data(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class Anchor(_Data):
    """One coalition to retrain."""

    id: str = Field(pattern=r"^\d{3,}-[0-9a-f]{8}$")
    """Names its folder; the same rows at the same place have the same one."""
    members: tuple[str, ...]
    rows: int
    digest: str
    """SHA-256 of its rows.parquet."""


class AnchorPlan(_Data):
    """The coalitions that are worth retraining, in the order of their use."""

    version: Literal[1] = 1
    run: str
    plan_id: str
    spec_file: str
    """From the folder's own place."""
    manifest: str
    """Digest of the manifest whose rows they are, and of whose each row is."""
    grouping: str
    contributors: tuple[str, ...]
    seed: int
    """Of the choice, and for trainers."""
    anchors: tuple[Anchor, ...]


def rows_digest(compiled: Compiled, group: Grouping) -> str:
    """Of a manifest's rows, their conditions and images, and of whose they are in a grouping."""
    checked = compiled.checked
    rows = (group.of_row, checked.manifest.condition_of_row, checked.manifest.numbers)
    shown = [None if each is None else digest(np.ascontiguousarray(each).tobytes()) for each in rows]
    files = [file.digest for file in checked.inputs if file.role in ("manifest", "images")]
    return digest({"files": files, "rows": shown, "conditions": checked.manifest.conditions_digest})


class AnchorValue(_Data):
    """What one utility says of an anchor's images."""

    key: str
    """Of everything that it was computed from."""
    value: float


class AnchorState(_Data):
    """What was done for one anchor."""

    version: Literal[1] = 1
    training: str | None
    """Key of the rows, seed and command; None for a model that came from elsewhere."""
    model: str
    """Digest of the model's folder."""
    seconds: float | None = None
    """That the training took."""
    values: dict[str, AnchorValue] = {}
    """By utility."""


def plan_anchors(compiled: Compiled, count: int, grouping: str | None, seed: int | None, folder: Path) -> AnchorPlan:
    """Chooses `count` coalitions of a grouping, of the first by default, and writes the folder: rows first, plan last.

    What is there with the same content is left alone, so that a larger count adds to a smaller one. Raises PlanError
    for an unknown grouping, for too few coalitions and where the folder can't be written.
    """
    manifest = compiled.checked.manifest
    group = _grouping(manifest.groupings, grouping)
    n, seed = len(group.contributors), compiled.spec.seed if seed is None else seed
    if count > half_size_coalitions(n):
        message = f"grouping {group.name} has {plural(n, 'contributor')}, and so {half_size_coalitions(n)} coalitions"
        remedy = "Ask for fewer." if n > 1 else "Choose a grouping of several contributors."
        raise PlanError(f"{message} of half the size; {count} were asked for", remedy)
    names = {name: position for position, name in enumerate(group.contributors)}
    alike = [[names[name] for name in names_] for names_ in indistinguishable(group, manifest)]
    return plan_coalitions(compiled, group, choose_coalitions(n, count, seed, alike), seed, folder)


def plan_coalitions(
    compiled: Compiled, group: Grouping, masks: np.ndarray, seed: int, folder: Path, *, numbered: bool = True
) -> AnchorPlan:
    """Writes the folder for given coalitions (m, n) of a grouping, as `plan_anchors` does; raises as that does.

    Unless they are `numbered`, a coalition has the same name wherever it stands among others.
    """
    manifest, content = compiled.checked.manifest, rows_digest(compiled, group)
    _claim(folder)
    try:
        made = tuple(
            _write_rows(folder, f"{position + 1:03d}-" if numbered else "000-", manifest, content, mask, group)
            for position, mask in enumerate(masks)
        )
        plan = AnchorPlan(
            run=compiled.run,
            plan_id=compiled.plan_id,
            spec_file=path_from(folder, Path(compiled.checked.loaded.file)),
            manifest=content,
            grouping=group.name,
            contributors=group.contributors,
            seed=seed,
            anchors=made,
        )
        write_if_changed(folder / README, _README.encode())
        write_if_changed(folder / PLAN, plan.model_dump_json(indent=1).encode() + b"\n")
    except OSError as error:
        raise PlanError(
            f"{harmless(str(folder))} can't be written: {_reason(error)}", "Choose another place."
        ) from None
    return plan


def _grouping(groupings: Sequence[Grouping], name: str | None) -> Grouping:
    for grouping in groupings:
        if name in (None, grouping.name):
            return grouping
    known = ", ".join(grouping.name for grouping in groupings)
    raise PlanError(f"the spec has no grouping `{harmless(name or '')}`", f"Its groupings: {known}.")


def _claim(folder: Path) -> None:
    """Makes the folder. Raises PlanError where it is one of something else."""
    try:
        if folder.exists() and not (folder / PLAN).is_file() and (not folder.is_dir() or any(folder.iterdir())):
            raise PlanError(f"{harmless(str(folder))} is there already, with other things", "Name a new folder.")
        make_folder(folder)
    except OSError as error:
        raise PlanError(f"{harmless(str(folder))} can't be made: {_reason(error)}", "Choose another place.") from None


def _write_rows(
    folder: Path, prefix: str, manifest: Manifest, content: str, mask: np.ndarray, group: Grouping
) -> Anchor:
    rows = np.flatnonzero(mask[group.of_row])
    name = f"{prefix}{digest({'manifest': content, 'rows': rows.tolist()})[:8]}"
    place = anchor_folder(folder, name)
    make_folder(place)
    buffer = io.BytesIO()
    manifest.read_rows(rows).write_parquet(buffer, compression="zstd")
    write_if_changed(place / ROWS, buffer.getvalue())
    members = tuple(group.contributors[i] for i in np.flatnonzero(mask))
    return Anchor(id=name, members=members, rows=len(rows), digest=digest(buffer.getvalue()))


def anchor_folder(folder: Path, id: str) -> Path:
    """Where one anchor's files are. Raises RunError where that is a link: nothing is written through it."""
    place = folder / id
    if place.is_symlink():
        raise RunError(f"{harmless(str(place))} is a link, and nothing is written through it", "Remove the link.")
    return place


def read_plan(folder: Path) -> AnchorPlan:
    """What `plan_anchors` wrote. Raises PlanError where it is not there or not whole."""
    path = folder / PLAN
    remedy = "Make it with `surrogateshap anchors plan`."
    try:
        plan = AnchorPlan.model_validate_json(read_file(path, follow=True, limit=_LIMIT))
    except UnreadableError as error:
        raise PlanError(f"{harmless(str(path))}: {error}", remedy) from None
    except ValidationError:
        raise PlanError(f"{harmless(str(path))} is not a plan of anchors of this version", remedy) from None
    known = set(plan.contributors)
    if any(not known.issuperset(anchor.members) for anchor in plan.anchors):
        raise PlanError(f"{harmless(str(path))} names members that are no contributors", remedy)
    return plan


def read_state(place: Path) -> AnchorState | None:
    """What was done for an anchor; None where nothing was, or nothing that can be read."""
    try:
        return AnchorState.model_validate_json(read_file(place / STATE))
    except (UnreadableError, ValidationError):
        return None


def write_state(place: Path, state: AnchorState) -> None:
    """Keeps what was done for an anchor. Raises OSError."""
    atomic_write_bytes(place / STATE, state.model_dump_json(indent=1).encode() + b"\n")


def write_table(folder: Path, plan: AnchorPlan, values: Mapping[str, Mapping[str, float]]) -> Path:
    """anchors.parquet: a boolean column per contributor and a column `value.UTILITY` per utility. Raises OSError.

    `values` has the values by utility of each anchor that is finished, by its id; rows are in the plan's order.
    """
    done = [anchor for anchor in plan.anchors if anchor.id in values]
    utilities = list(values[done[0].id]) if done else []
    columns = {f"value.{name}": [values[anchor.id][name] for anchor in done] for name in utilities}
    frame: dict[str, list[bool]] = {}
    for contributor in plan.contributors:
        column = contributor
        while column in columns or column in frame:
            column += "_"
        frame[column] = [contributor in anchor.members for anchor in done]
    buffer = io.BytesIO()
    pl.DataFrame(frame | columns).write_parquet(buffer, compression="zstd")
    write_if_changed(folder / TABLE, buffer.getvalue())
    return folder / TABLE


def write_if_changed(path: Path, data: bytes) -> None:
    """Raises OSError."""
    if not path.is_file() or path.is_symlink() or path.read_bytes() != data:
        atomic_write_bytes(path, data)


def _reason(error: OSError) -> str:
    return harmless(error.strerror or str(error))
