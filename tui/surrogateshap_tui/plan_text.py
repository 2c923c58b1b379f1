"""What a plan comes to, in a few words."""

from collections.abc import Iterator

from surrogateshap import units
from surrogateshap.plan.model import Plan


def summary(plan: Plan) -> str:
    """What is pending, in one line."""
    pending = sum(stage.state != "cached" for stage in plan.stages)
    if not pending:
        return "Nothing to do: every stage is cached."
    return f"{units.plural(pending, 'stage')} of {len(plan.stages)} to do, {units.about(plan.cost.seconds)}"


def cost_lines(plan: Plan) -> Iterator[tuple[str, str]]:
    """What the pending work takes, as pairs of a quantity and its value."""
    cost = plan.cost
    yield "Images", units.count(cost.images)
    yield "Denoising steps", units.count(cost.denoising_steps)
    estimated = any("estimated for" in stage.basis for stage in plan.stages if stage.state != "cached")
    hint = "; `surrogateshap doctor --calibrate` measures it" if estimated else ""
    yield "Time", f"{units.duration(cost.seconds)}{hint}"
    if cost.gpu_seconds:
        yield "GPU-hours", f"{cost.gpu_seconds / 3600:.2f}"
    yield "Disk, memory", f"{units.size(cost.disk_bytes)}, {units.size(cost.memory_bytes)}"


def instead_lines(plan: Plan) -> Iterator[tuple[str, str]]:
    """What the same values would take otherwise."""
    cost, images = plan.cost, sum(pool.images for pool in plan.pools)
    if cost.fresh_images:
        ratio = cost.fresh_images / images if images else 0.0
        fewer = f"; {ratio:,.0f} × fewer here" if ratio >= 2 else ""
        yield "Fresh sampling", f"{units.plural(cost.fresh_images, 'image')}, new ones for every coalition{fewer}"
    yield "Retraining", f"{units.plural(cost.retrainings, 'model')} to train; none here"
