"""What a plan comes to, in a few words."""

from collections.abc import Iterator

from surrogateshap import units
from surrogateshap.plan.model import Cost, Plan


def summary(plan: Plan) -> str:
    """What is pending, in one line."""
    pending = sum(stage.state != "cached" for stage in plan.stages)
    if not pending:
        return "Nothing to do: every stage is cached."
    return f"{units.plural(pending, 'stage')} of {len(plan.stages)} to do, {units.about(plan.cost.seconds)}"


def cost_lines(cost: Cost) -> Iterator[tuple[str, str]]:
    """What the pending work takes, as pairs of a quantity and its value."""
    yield "Images", units.count(cost.images)
    yield "Denoising steps", units.count(cost.denoising_steps)
    yield "Time", units.duration(cost.seconds)
    yield "Disk, memory", f"{units.size(cost.disk_bytes)}, {units.size(cost.memory_bytes)}"
