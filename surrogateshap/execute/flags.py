"""Denoising losses of training images, shard by shard, and what they say of each contributor."""

import numpy as np

from surrogateshap.estimate.flags import Losses, judge
from surrogateshap.execute.backends import Studio
from surrogateshap.execute.evaluate import NotFiniteError
from surrogateshap.execute.progress import Progress
from surrogateshap.execute.shards import Item
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.flags import FlagDesign
from surrogateshap.record.results import ContributorFlags
from surrogateshap.store import Store

STAGE = "flags"
Found = dict[str, tuple[str, int]]


def contributor_flags(
    compiled: Compiled, store: Store, studio: Studio, progress: Progress
) -> tuple[ContributorFlags, ...]:
    """Every contributor of every grouping, in the manifest's order; empty where the spec asks for no flags.

    Losses that are in the store already are not measured again. Raises NotFiniteError where a loss is no finite
    number.
    """
    design = compiled.flags
    if design is None:
        return ()
    conditional, unconditional = _losses(compiled, design, store, studio, progress)
    made = []
    for grouping in compiled.checked.manifest.groupings:
        losses = [
            Losses(conditional[own], None if unconditional is None else unconditional[own])
            for own in design.members[grouping.name]
        ]
        for name, one, verdict in zip(grouping.contributors, losses, judge(losses), strict=True):
            made.append(
                ContributorFlags(
                    grouping=grouping.name,
                    name=name,
                    images=len(one.conditional),
                    conditional=float(one.conditional.mean()),
                    unconditional=None if one.unconditional is None else float(one.unconditional.mean()),
                    flags=verdict.flags,
                    note=verdict.note,
                )
            )
    return tuple(made)


def _losses(
    compiled: Compiled, design: FlagDesign, store: Store, studio: Studio, progress: Progress
) -> tuple[np.ndarray, np.ndarray | None]:
    """(K,) conditional and, where the model knows such, unconditional losses of the design's rows."""
    columns = (design.keys, design.conditions.tolist(), design.seeds.tolist(), design.rows.tolist())
    items = list({key: Item(key, *rest) for key, *rest in zip(*columns, strict=True)}.values())
    found: Found = store.find_images(design.keys)
    read = ((made, store.get_arrays(made)) for made in {at[0] for at in found.values()})
    objects = {made: arrays for made, arrays in read if arrays is not None}
    found = {key: at for key, at in found.items() if at[0] in objects}  # what is damaged is made again
    progress.start(STAGE, len(found))
    size = compiled.spec.execution.batch_size
    # Cut before what is there is left out: a resumed run makes the batches that it would have made.
    for shard in (items[start : start + size] for start in range(0, len(items), size)):
        missing = [item for item in shard if item.key not in found]
        if not missing:
            continue
        progress.check()
        studio.prepare(None)  # loaded outside the stage's own time, which tells the rate
        with progress.working(STAGE):
            losses = studio.denoising_losses(missing)
            arrays = {"conditional": losses.conditional}
            if losses.unconditional is not None:
                arrays["unconditional"] = losses.unconditional
            if not all(np.isfinite(array).all() for array in arrays.values()):
                message = "the model's denoising losses are not finite numbers for some training images"
                raise NotFiniteError(("model", "source"), message, "Check its weights.")
            made = store.put_arrays(arrays)
            store.add_images(made, [item.key for item in missing])
        objects[made] = arrays
        found.update({item.key: (made, slot) for slot, item in enumerate(missing)})
        progress.advance(STAGE, len(missing))
    progress.finish(STAGE)
    places = [found[key] for key in design.keys]
    conditional = np.array([objects[made]["conditional"][slot] for made, slot in places])
    if compiled.checked.card.null_class is None:
        return conditional, None
    return conditional, np.array([objects[made]["unconditional"][slot] for made, slot in places])
