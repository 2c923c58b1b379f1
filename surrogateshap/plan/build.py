"""Compiled spec and store to Plan: the stages with what is there and what is not, why, and at which cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from surrogateshap.plan import keys
from surrogateshap.plan.beside import beside, encoded_once, own_images, reference_key, texts_key
from surrogateshap.plan.check import IMAGES_PER_COALITION
from surrogateshap.plan.coalitions import FRESH_COALITIONS
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.costs import Costs, Time, evaluations_per_loss, steps_per_image
from surrogateshap.plan.device import Device
from surrogateshap.plan.differences import changes, reason
from surrogateshap.plan.model import Cost, GamePlan, GroupingPlan, Plan, PoolPlan, Stage, StageKind, StageState
from surrogateshap.plan.pool import UNCONDITIONAL, Pool
from surrogateshap.plan.rounds import courses, words
from surrogateshap.plugins import ROLE
from surrogateshap.spec.utilities import PluginUtility
from surrogateshap.store import Store
from surrogateshap.text import digest

_INDEXED = 300
"""Bytes per image of the store's index, roughly."""
_UNKNOWN_FEATURES = 1_024


@dataclass(frozen=True)
class Artifacts:
    """What a store holds of a plan."""

    images: Mapping[str, tuple[str, int]]
    """Image key -> (object, slot)."""
    encodings: frozenset[str]
    """Encoding keys that are there."""
    fits: int
    """Games whose Shapley values are there."""
    values: int
    """Games whose coalition values are there."""
    fidelities: int
    """Games whose agreement with the anchors is there."""
    done: bool
    """Whether the run has been finished, results included."""
    losses: int = 0
    """Training images, each counted once, whose denoising losses are there."""


def unique_keys(pool: Pool) -> list[str]:
    """A pool's image keys in its order, each once."""
    return list(dict.fromkeys(pool.keys))


def game_key(compiled: Compiled, game: GameDesign, pixels: str) -> str:
    """Of a game's values on the pixels that are there."""
    membership = digest(
        {
            "cells": digest(np.ascontiguousarray(game.pool.cell_of_image).tobytes()),
            "contributors": list(game.grouping.contributors),
            "rows": game.grouping.rows.tolist(),
            "conditions": digest(np.ascontiguousarray(game.pool.conditions).tobytes()),
            "labels": [compiled.checked.manifest.conditions_digest, compiled.checked.card.labels],
            "shares": _shares(game),
        }
    )
    plugin = plugin_digest(compiled, game)
    return keys.game(
        pixels=pixels,
        membership=membership,
        encoder=game.encoder.digest,
        utility=game.utility,
        reference=reference_key(compiled, game),
        beside=beside(compiled, game),
        rest={
            "coalitions": game.coalitions,
            "empty": game.empty_value,
            "seed": compiled.spec.seed,
            "estimator": game.estimator,
        }
        | ({} if plugin is None else {"plugin": plugin}),
    )


def plugin_digest(compiled: Compiled, game: GameDesign) -> str | None:
    """Of the package that a game's utility comes from; None where it is none of another package."""
    utility = game.utility
    return compiled.checked.digest(ROLE + utility.plugin) if isinstance(utility, PluginUtility) else None


def fidelity_key(compiled: Compiled, game: GameDesign, fit_key: str) -> str | None:
    """Of a game's agreement with the spec's anchors; None where they say nothing of it."""
    anchors = anchors_of_game(compiled, game)
    if anchors is None:
        return None
    masks, values = anchors
    notes = compiled.checked.anchors.notes if compiled.checked.anchors else ()
    shown = digest({"shape": masks.shape, "notes": notes}).encode()
    content = digest(np.packbits(masks).tobytes() + values.tobytes() + shown)
    return keys.fidelity(fit_key, compiled.spec.fidelity.kind, content)


def anchors_of_game(compiled: Compiled, game: GameDesign) -> tuple[np.ndarray, np.ndarray] | None:
    """Coalitions (m, n) and retrained values (m,) that the spec's table has of a game; None where it has none."""
    anchors = compiled.checked.anchors
    if anchors is None or game.grouping.name != compiled.checked.anchored.name:
        return None
    values = anchors.values.get(game.utility.name)
    return None if values is None else (anchors.masks, values)


def _shares(game: GameDesign) -> str | None:
    membership = game.pool.memberships.get(game.grouping.name)
    if membership is None:
        return None
    parts = (membership.shares.indptr, membership.shares.indices, membership.shares.data)
    return digest(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))


def look_up(compiled: Compiled, store: Store | None) -> Artifacts:
    """Asks the store what is there."""
    if store is None:
        return Artifacts({}, frozenset(), 0, 0, 0, False)
    images = store.find_images({key for pool in compiled.pools for key in pool.keys})
    made = {pool.id: {images[key][0] for key in pool.keys if key in images} for pool in compiled.pools}
    wanted = {
        keys.encoding(encoder.digest, name)
        for game in compiled.games
        for encoder in game.encoders
        for name in made[game.pool.id]
    }
    wanted |= {key for name in compiled.checked.encoders for key in encoded_once(compiled, name)}
    encodings = frozenset(store.lookup(wanted))
    own = {key for name in compiled.checked.encoders for key in own_images(compiled, name)}
    encodings |= store.find_images(own).keys()
    values, fits, fidelities = 0, 0, 0
    for pool in compiled.pools:
        if any(key not in images for key in pool.keys):
            continue
        pixels = keys.features(pool.keys, images)
        for game in compiled.games:
            if game.pool is pool:
                key = game_key(compiled, game, pixels)
                values += len(store.lookup([key]))
                fit_key = keys.fit(key, compiled.spec, game.estimator)
                fits += len(store.lookup([fit_key]))
                if (compared := fidelity_key(compiled, game, fit_key)) is not None:
                    fidelities += len(store.lookup([compared]))
    row = store.run(compiled.run)
    done = row is not None and row.run == compiled.run and row.status == "done" and row.results is not None
    losses = len(store.find_images(compiled.flags.keys)) if compiled.flags is not None else 0
    return Artifacts(images, encodings, fits, values, fidelities, done, losses)


def build_plan(compiled: Compiled, store: Store | None, device: Device | None = None) -> Plan:
    """The plan of a spec against a store. Raises RunError where the store can't be read.

    What was never measured is estimated for `device`; without one it stays unknown, and the plan is the same on every
    machine. A pool that grows by `stop_when` counts with its whole budget until its run has decided otherwise.
    """
    whole, growing = compiled, bool(compiled.spec.budget.rules)
    if growing and store is not None:
        decided = courses(compiled, store)
        compiled = compiled.with_pools([course.pool for course in decided.values()])
        growing = not all(course.stopped for course in decided.values())
    if not growing:
        whole = compiled
    artifacts = look_up(compiled, store)
    if growing and store is not None:
        images = {**artifacts.images, **store.find_images({key for pool in whole.pools for key in pool.keys})}
        artifacts = replace(artifacts, images=images, fits=0, values=0)
    previous = _previous(compiled, store)
    spec = compiled.spec
    resolved = spec.model_dump(mode="json", by_alias=True)
    changed = changes(previous, resolved, compiled.checked.inputs) if previous else None
    costs = Costs(compiled, store, device)
    stages = tuple(_stages(compiled, artifacts, costs, changed, whole if growing else None))
    return Plan(
        plan_id=compiled.plan_id,
        run=compiled.run,
        name=spec.name,
        spec_file=compiled.checked.loaded.file,
        spec=resolved,
        inputs=compiled.checked.inputs,
        groupings=tuple(
            GroupingPlan(
                name=grouping.name,
                contributors=len(grouping.contributors),
                rows=int(grouping.rows.sum()),
                rows_min=int(grouping.rows.min()),
                rows_max=int(grouping.rows.max()),
            )
            for grouping in compiled.checked.manifest.groupings
        ),
        pools=tuple(_pool_plan(whole, pool) for pool in whole.pools),
        games=tuple(
            GamePlan(
                info=game.info,
                estimator=game.estimator,
                coalitions=game.coalitions,
                coalitions_because=game.coalitions_because,
                indistinguishable=game.indistinguishable,
            )
            for game in compiled.games
        ),
        stages=stages,
        cost=_cost(whole, artifacts, costs, stages),
        warnings=(*compiled.warnings, *costs.warnings()),
        stops_when=tuple(map(words, compiled.spec.budget.rules)),
    )


def _previous(compiled: Compiled, store: Store | None) -> dict[str, Any] | None:
    """The plan of the newest other run of the same name, from its folder."""
    for row in store.runs() if store is not None else []:
        if store is not None and row.name == compiled.spec.name and row.run != compiled.run:
            document = store.get_json(row.plan) if row.plan else None
            if isinstance(document, dict):
                return document
    return None


def _pool_plan(compiled: Compiled, pool: Pool) -> PoolPlan:
    unconditional = int((pool.conditions == UNCONDITIONAL).sum())
    if pool.memberships:
        held = pool.images_of(compiled.checked.manifest.groupings[0].name)
    else:
        held = np.bincount(pool.cell_of_image)[:1]
    return PoolPlan(
        proxy=pool.proxy,
        images=len(pool.keys),
        unconditional=unconditional,
        conditions=len(np.unique(pool.conditions[pool.conditions != UNCONDITIONAL])),
        steps_per_image=steps_per_image(compiled, pool.proxy),
        per_contributor_min=int(held.min()),
        per_contributor_max=int(held.max()),
        digest=digest(list(pool.keys)),
        conditions_in_all=len(compiled.checked.manifest.conditions),
    )


def _stages(
    compiled: Compiled,
    artifacts: Artifacts,
    costs: Costs,
    changed: tuple[str, ...] | None,
    whole: Compiled | None,
) -> Iterator[Stage]:
    most = {pool.id: len(pool.keys) for pool in whole.pools} if whole is not None else {}

    def stage(id_: str, kind: StageKind, title: str, unit: str, total: int, cached: int) -> Stage:
        cached = total if artifacts.done else cached
        state: StageState = "cached" if cached == total else "partial" if cached else "new"
        time = costs.time(id_, total - cached, total) if state != "cached" else Time(None, "")
        return Stage(
            id=id_,
            kind=kind,
            title=title,
            unit=unit,
            total=total,
            cached=cached,
            state=state,
            because=reason(kind, changed) if state != "cached" else "",
            seconds=time.seconds,
            basis=time.basis,
        )

    for pool in compiled.pools:
        wanted = unique_keys(pool)
        there = sum(key in artifacts.images for key in wanted)
        total = most.get(pool.id, len(wanted))
        yield stage(f"generate:{pool.id}", "generate", f"generate images, {pool.id} proxy", "images", total, there)
    for name, encoder in compiled.checked.encoders.items():
        games = [game for game in compiled.games if encoder in game.encoders]
        for pool in {game.pool.id: game.pool for game in games}.values():
            wanted = unique_keys(pool)
            there = sum(
                key in artifacts.images
                and keys.encoding(encoder.digest, artifacts.images[key][0]) in artifacts.encodings
                for key in wanted
            )
            title = f"encode with {name}, {pool.id} proxy"
            total = most.get(pool.id, len(wanted))
            yield stage(f"encode:{pool.id}:{name}", "encode", title, "images", total, there)
        once, own = set(encoded_once(compiled, name)), set(own_images(whole or compiled, name))
        if once or own:
            mine = [game for game in games if game.encoder is encoder]
            parts = ["references"] if any(reference_key(compiled, game) for game in mine) else []
            parts += ["texts"] if any(texts_key(compiled, game) for game in mine) else []
            parts += ["training images"] if own else []
            what = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
            there = len((once | own) & artifacts.encodings)
            unit = "references" if parts == ["references"] else "inputs"
            yield stage(f"reference:{name}", "encode", f"encode {what} with {name}", unit, len(once | own), there)
    if compiled.flags is not None:
        wanted = list(dict.fromkeys(compiled.flags.keys))
        yield stage("flags", "flags", "denoise training images for flags", "images", len(wanted), artifacts.losses)
    games_total = len(compiled.games)
    yield stage("evaluate", "evaluate", "evaluate coalitions", "games", games_total, artifacts.values)
    yield stage("fit", "fit", "estimate values and intervals", "games", games_total, artifacts.fits)
    compared = sum(anchors_of_game(compiled, game) is not None for game in compiled.games)
    if compared:
        yield stage("fidelity", "fidelity", "compare with anchors", "games", compared, artifacts.fidelities)
    yield stage("record", "record", "write the record", "records", 1, 0)


def _cost(compiled: Compiled, artifacts: Artifacts, costs: Costs, stages: tuple[Stage, ...]) -> Cost:
    images, evaluations = 0, 0
    spec, card = compiled.spec, compiled.checked.card
    seen: set[str] = set()
    for pool in compiled.pools:
        for key, condition in zip(pool.keys, pool.conditions.tolist(), strict=True):
            if artifacts.done or key in artifacts.images or key in seen:
                continue
            seen.add(key)
            images += 1
            conditional = condition != UNCONDITIONAL
            # A pipeline is guided away from the empty prompt also where that is what it is asked for.
            passes = costs.passes if conditional or card.pipeline else 1
            evaluations += steps_per_image(compiled, pool.proxy if conditional else "prompt") * passes
    if compiled.flags is not None and not artifacts.done:
        evaluations += (len(set(compiled.flags.keys)) - artifacts.losses) * evaluations_per_loss(compiled)
    known = [stage.seconds for stage in stages if stage.state != "cached" and stage.kind != "record"]
    encoders = compiled.checked.encoders.values()
    seen_numbers = sum((encoder.features or _UNKNOWN_FEATURES) + len(encoder.labels) for encoder in encoders)
    alike = {(game.info.grouping, game.info.proxy) for game in compiled.games}
    return Cost(
        images=images,
        denoising_steps=evaluations,
        seconds=None if any(seconds is None for seconds in known) else sum(filter(None, known)),
        disk_bytes=images * (card.height * card.width * card.channels + 4 * seen_numbers + _INDEXED),
        memory_bytes=costs.memory,
        fresh_images=len(alike) * FRESH_COALITIONS * IMAGES_PER_COALITION if spec.sampling.mode == "pool" else 0,
        retrainings=len(compiled.checked.manifest.groupings) * FRESH_COALITIONS,
        gpu_seconds=costs.gpu_seconds(stages),
    )
