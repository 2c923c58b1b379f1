"""Trains and evaluates anchors: coalitions whose models are really made. Resumes wherever it was stopped."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from surrogateshap.errors import InterruptedRun, PlanError, RunError, SpecError, SurrogateShapError
from surrogateshap.execute.evaluate import NotFiniteError
from surrogateshap.execute.image_sets import ImageSets
from surrogateshap.execute.shards import cut
from surrogateshap.execute.trainer import command_for, run_trainer, shown
from surrogateshap.execute.workshop import Workshop
from surrogateshap.plan import keys
from surrogateshap.plan.beside import beside, reference_key
from surrogateshap.plan.build import plugin_digest
from surrogateshap.plan.cards import ModelCard, read_model_card
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.inputs import digest_file, digest_path
from surrogateshap.plan.pool import Pool, PoolRequest, build_anchor_pool
from surrogateshap.record.anchors import (
    LOG,
    MODEL,
    ROWS,
    TABLE,
    Anchor,
    AnchorPlan,
    AnchorState,
    AnchorValue,
    anchor_folder,
    read_state,
    rows_digest,
    write_state,
    write_table,
)
from surrogateshap.spec.model import ModelSection
from surrogateshap.spec.paths import PathRefused
from surrogateshap.store.lock import exclusive
from surrogateshap.text import digest, harmless
from surrogateshap.units import duration, plural

_TRAINER = ("fidelity", "trainer")
_LOCK = ".lock"
_TRAINING = "training-"
"""Begins the names of folders that trainers write to: only a whole model gets the name that counts."""


@dataclass(frozen=True)
class AnchorOptions:
    """How anchors are trained and evaluated."""

    allow_commands: bool = False
    """Whether the spec's trainer may run."""
    timeout: float | None = None
    """Seconds that one training may take."""
    images: int = 400
    """That each model is evaluated on."""
    keep_going: bool = False
    """Whether one failure leaves the other anchors their turn."""


def train_anchors(
    compiled: Compiled,
    folder: Path,
    plan: AnchorPlan,
    options: AnchorOptions,
    say: Callable[[str], None],
    stop: threading.Event,
) -> Path:
    """Trains and evaluates what is not there yet, and returns the path of the table of all values.

    `say` is told one line for every step. Raises PlanError where the anchors are of other data, SpecError where a model
    is missing and no command may make it, RunError for a training that fails, and InterruptedRun once `stop` is set.
    """
    manifest = compiled.checked.manifest
    group = next((group for group in manifest.groupings if group.name == plan.grouping), None)
    if group is None or group.contributors != plan.contributors or plan.manifest != rows_digest(compiled, group):
        message = f"the anchors in {harmless(str(folder))} were planned for another manifest or grouping"
        raise PlanError(message, "Plan them again with `surrogateshap anchors plan`.")
    try:
        with exclusive(folder / _LOCK), threadpool_limits(compiled.spec.execution.threads, user_api="blas"):
            _Anchors(compiled, folder.absolute(), plan, options, say, stop).go()
            return folder / TABLE
    except OSError as error:
        reason = harmless(error.strerror or str(error))
        raise RunError(f"{harmless(str(folder))} can't be read or written: {reason}", "Look at its files.") from None


class _Anchors:
    def __init__(
        self,
        compiled: Compiled,
        folder: Path,
        plan: AnchorPlan,
        options: AnchorOptions,
        say: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        self._compiled, self._folder, self._plan = compiled, folder, plan
        self._options, self._say, self._stop = options, say, stop
        self._workshop = Workshop(compiled)
        self._sets = ImageSets(compiled, self._workshop)
        self._games = self._sets.games
        self._command = compiled.spec.fidelity.trainer
        self._utilities = [utility.name for utility in compiled.spec.utility]
        names = {name: position for position, name in enumerate(plan.contributors)}
        self._places = {anchor.id: [names[name] for name in anchor.members] for anchor in plan.anchors}

    def go(self) -> None:
        values: dict[str, dict[str, float]] = {}
        untrained: list[Anchor] = []
        failed: list[SurrogateShapError] = []
        for number, anchor in enumerate(self._plan.anchors, 1):
            if self._stop.is_set():
                raise InterruptedRun("interrupted: what was finished is kept")
            try:
                state = self._there(anchor)
                if state is None and not (self._options.allow_commands and self._command):
                    untrained.append(anchor)
                    continue
                values[anchor.id] = self._finish(anchor, state, f"{number} of {len(self._plan.anchors)}")
            except RunError as error:
                told = RunError(f"coalition {anchor.id}: {error.message}", error.remedy)
                if not self._options.keep_going:
                    raise told from None
                self._say(f"{told.message}. {told.remedy}")
                failed.append(told)
            else:
                write_table(self._folder, self._plan, values)
        if untrained:
            raise self._untrained(untrained)
        if failed:
            what = f"{plural(len(failed), 'coalition')} of {len(self._plan.anchors)} failed"
            raise RunError(f"{what}; the first: {failed[0].message}", failed[0].remedy)

    def _untrained(self, anchors: list[Anchor]) -> SpecError:
        loaded = self._compiled.checked.loaded
        what = f"the models of {len(anchors)} of {len(self._plan.anchors)} coalitions are missing"
        if not self._command:
            remedy = (
                'Name the command that trains one: trainer = ["{python}", "train.py", "{rows}", "{out}"]; or put '
                f"models into {harmless(str(self._folder))}/ID/{MODEL} yourself."
            )
            return SpecError([loaded.problem(_TRAINER, f"{what}, and there is no command to train them", remedy)])
        command = self._command_for(anchors[0], self._folder / anchors[0].id / f"{_TRAINING}…")
        remedy = (
            f"In {harmless(str(loaded.folder), 1000)}, without a shell, for each of them would run:\n"
            f"    {shown(command)}\nRead what that does; then allow it with --allow-commands."
        )
        return SpecError([loaded.problem(_TRAINER, f"{what}, and commands of a spec run only when allowed", remedy)])

    def _there(self, anchor: Anchor) -> AnchorState | None:
        """What is there of an anchor: a model, or all its values; None where it has to be trained."""
        place = anchor_folder(self._folder, anchor.id)
        state = read_state(place)
        if (place / MODEL).is_dir():
            content, _ = digest_path(place / MODEL)
            if state is None or state.model != content:
                return AnchorState(training=None, model=content)
        elif state is None or not self._current(anchor, state):
            return None
        if self._command and state.training not in (None, self._training(anchor)):
            self._say(f"{anchor.id}: trained by another command or on other rows before")
            return None
        return state

    def _training(self, anchor: Anchor) -> str:
        return keys.training(anchor.digest, self._plan.seed, self._command or ())

    def _command_for(self, anchor: Anchor, out: Path) -> list[str]:
        loaded = self._compiled.checked.loaded
        try:
            return command_for(self._command or (), self._folder / anchor.id / ROWS, out, loaded.folder)
        except PathRefused as refused:
            raise SpecError([loaded.problem(_TRAINER, refused.message, refused.remedy)]) from None

    def _finish(self, anchor: Anchor, state: AnchorState | None, which: str) -> dict[str, float]:
        """Values by utility of an anchor that is trained and evaluated as far as it is not yet."""
        if state is None:
            state = self._train(anchor, which)
        wanted = self._value_keys(anchor, self._pool(anchor, state))
        if not self._current(anchor, state):
            self._say(f"{which}, {anchor.id}: evaluating on {plural(self._options.images, 'image')}")
            try:
                found = self._evaluate(anchor, state)
            except NotFiniteError as error:
                raise RunError(error.message, error.remedy) from None
            values = {name: AnchorValue(key=wanted[name], value=found[name]) for name in self._utilities}
            state = state.model_copy(update={"values": values})
            write_state(self._folder / anchor.id, state)
        return {name: state.values[name].value for name in self._utilities}

    def _train(self, anchor: Anchor, which: str) -> AnchorState:
        place = self._folder / anchor.id
        if not (place / ROWS).is_file() or digest_file(place / ROWS)[0] != anchor.digest:
            raise RunError(f"its {ROWS} is not the one that was planned", "Plan the anchors again, into a new folder.")
        for old in place.glob(f"{_TRAINING}*"):
            old.unlink() if old.is_symlink() or old.is_file() else shutil.rmtree(old)
        out = place / f"{_TRAINING}{os.urandom(4).hex()}"
        out.mkdir()
        command = self._command_for(anchor, out)
        self._say(f"{which}, {anchor.id}: training on {plural(anchor.rows, 'row')}: {shown(command)}")
        variables = {
            "SURROGATESHAP_ROWS": str(place / ROWS),
            "SURROGATESHAP_OUT": str(out),
            "SURROGATESHAP_COALITION": anchor.id,
            "SURROGATESHAP_SEED": str(self._plan.seed),
        }
        began = time.monotonic()
        folder = self._compiled.checked.loaded.folder
        run_trainer(command, folder, variables, place / LOG, self._options.timeout, self._stop)
        seconds = time.monotonic() - began
        self._card(out)
        state = AnchorState(training=self._training(anchor), model=digest_path(out)[0], seconds=round(seconds, 1))
        model = place / MODEL
        if model.is_symlink():
            model.unlink()
        elif model.exists():
            shutil.rmtree(model)
        write_state(place, state)
        out.rename(model)
        self._say(f"{which}, {anchor.id}: trained in {duration(seconds)}")
        return state

    def _card(self, folder: Path) -> ModelCard:
        """Of an anchor's model. Raises RunError where it is none, or not one that the run's requests fit."""
        frozen = self._compiled.checked.card
        remedy = "It must be a model like the run's own, in diffusers layout, with weights as safetensors."
        try:
            card = read_model_card(folder, self._section, self._compiled.spec.sampling)
        except ValueError as error:
            raise RunError(f"its model {harmless(str(error))}", remedy) from None
        pairs = [
            ("pipeline", card.pipeline, frozen.pipeline),
            ("size", (card.height, card.width, card.channels), (frozen.height, frozen.width, frozen.channels)),
            ("number of classes", len(card.labels), len(frozen.labels)),
            ("class that means no class", card.null_class, frozen.null_class),
        ]
        for what, its, ours in pairs:
            if its != ours:
                raise RunError(f"its model has another {what} than the run's: {its} instead of {ours}", remedy)
        if card.labels not in (frozen.labels, tuple(map(str, range(len(card.labels))))):
            raise RunError("its model has other classes than the run's, or in another order", remedy)
        return card

    @property
    def _section(self) -> ModelSection:
        """Of an anchor's model: one of its own, on which neither adapters nor a variant of the run's model count."""
        return self._compiled.spec.model.model_copy(update={"adapters": (), "variant": None})

    def _pool(self, anchor: Anchor, state: AnchorState) -> Pool:
        spec, manifest = self._compiled.spec, self._compiled.checked.manifest
        generation = keys.generation(spec, state.model, "prompt")
        request = PoolRequest("prompt", spec.seed, self._options.images, 0, generation, generation)
        return build_anchor_pool(request, manifest, self._rows(anchor))

    def _rows(self, anchor: Anchor) -> np.ndarray:
        return np.flatnonzero(np.isin(self._of_row, self._places[anchor.id]))

    @cached_property
    def _of_row(self) -> np.ndarray:
        groups = self._compiled.checked.manifest.groupings
        return next(group.of_row for group in groups if group.name == self._plan.grouping)

    def _value_keys(self, anchor: Anchor, pool: Pool) -> dict[str, str]:
        """By utility, of everything that its value is computed from."""
        pixels = digest(list(pool.keys))
        return {
            name: keys.game(
                pixels=pixels,
                membership="",
                encoder=game.encoder.digest,
                utility=game.utility,
                reference=reference_key(self._compiled, game),
                beside=beside(self._compiled, game, pool, self._rows(anchor)),
                rest=plugin_digest(self._compiled, game),
            )
            for name, game in self._games.items()
        }

    def _current(self, anchor: Anchor, state: AnchorState) -> bool:
        wanted = self._value_keys(anchor, self._pool(anchor, state))
        return all(name in state.values and state.values[name].key == wanted[name] for name in self._utilities)

    def _evaluate(self, anchor: Anchor, state: AnchorState) -> dict[str, float]:
        """Images of the anchor's model, as the run makes and encodes them, and what the utilities say of them."""
        folder = self._folder / anchor.id / MODEL
        card = self._card(folder)
        pool, model = self._pool(anchor, state), self._workshop.load_model(folder, card)
        parts: list[dict[str, np.ndarray]] = []
        for shard in cut(pool, self._compiled.spec.execution.batch_size):
            if self._stop.is_set():
                raise InterruptedRun("interrupted: what was finished is kept")
            images, _ = self._workshop.make(self._workshop.requests(shard), model)
            parts.append(self._sets.look(images))
        looked = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        rows = self._rows(anchor)
        return {name: self._sets.value(game, looked, pool, rows) for name, game in self._games.items()}
