"""Plan to text: what `apply` would do, why, and at which cost."""

import shlex
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, chop_cells, set_cell_size

from surrogateshap.plan.model import Plan, Stage, StageKind
from surrogateshap.text import harmless
from surrogateshap.units import amount, count, duration, plural, size

WIDTH = 100
_MARKERS = {"new": "+", "partial": "~", "cached": "="}
_TO_DO: dict[StageKind, str] = {
    "generate": "to make",
    "encode": "to encode",
    "flags": "to denoise",
    "evaluate": "to evaluate",
    "fit": "to fit",
    "fidelity": "to compare",
    "record": "to write",
}


def explain(plan: Plan) -> str:
    """`plan` as plain text, free of control characters, ending in a line break.

    No line is wider than 100 columns, but for the closing command where the spec's path is that long.
    """
    sections = [
        _wrapped(f"Plan {harmless(plan.name)} (plan {plan.plan_id[:12]}, run {harmless(plan.run)})", indent=4, first=0),
        _section("Inputs", _inputs(plan)),
        _section("Contributors", _contributors(plan)),
        _section("Pools", _pools(plan)),
        _section("Games", _games(plan)),
        _section("Stages (+ new, ~ partly there, = cached)", _stages(plan.stages)),
        _section(
            f"Cost of what is pending{', at most' if plan.stops_when else ''}", _cost(plan) if plan.pending else []
        ),
        _section("Instead of", _instead(plan)),
        _section("Warnings", _warnings(plan)),
        [_closing(plan)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _section(title: str, lines: list[str]) -> list[str]:
    return [title, *lines] if lines else []


def _inputs(plan: Plan) -> list[str]:
    rows = [(file.role, file.name, file.digest[:12], size(file.bytes)) for file in plan.inputs]
    return _columns(rows, limits=(24, 42, 12, 10), right=(3,))


def _contributors(plan: Plan) -> list[str]:
    rows = [
        (
            f"by {group.name}",
            plural(group.contributors, "contributor"),
            plural(group.rows, "row"),
            f"{_span(group.rows_min, group.rows_max)} rows each",
        )
        for group in plan.groupings
    ]
    return _columns(rows, limits=(28, 22, 18, 24), right=(1, 2))


def _pools(plan: Plan) -> list[str]:
    lines: list[str] = []
    most = "at most " if plan.stops_when else ""
    for pool in plan.pools:
        lines += _wrapped(
            f"{pool.proxy} proxy: {most}{plural(pool.images, 'image')}, "
            f"{count(pool.unconditional)} of them unconditional; "
            f"{_part(pool.conditions, pool.conditions_in_all)}; {plural(pool.steps_per_image, 'step')} per image; "
            f"{_span(pool.per_contributor_min, pool.per_contributor_max)} images per contributor",
            indent=4,
        )
    if plan.stops_when:
        rules = ", or ".join(map(harmless, plan.stops_when))
        lines += _wrapped(
            f"Stops before that when {rules}; until then images go where values are least sure.", indent=4
        )
    return lines


def _games(plan: Plan) -> list[str]:
    """One entry for all utilities of a grouping and proxy that are estimated alike."""
    utilities: dict[tuple[str, str, str, int, str], list[str]] = {}
    for game in plan.games:
        alike = (game.info.grouping, game.info.proxy, game.estimator, game.coalitions, game.coalitions_because)
        utilities.setdefault(alike, []).append(game.info.utility)
    lines = []
    for (grouping, proxy, estimator, coalitions, because), names in utilities.items():
        reason = f": {harmless(because)}" if because else ""
        how = f"{estimator}, {plural(coalitions, 'coalition')} each{reason}"
        text = f"by {harmless(grouping)}, {harmless(proxy)} proxy ({how}): {', '.join(map(harmless, names))}"
        lines += _wrapped(text, indent=4)
    return lines


def _stages(stages: Sequence[Stage]) -> list[str]:
    rows, reasons = [], []
    for stage in stages:
        pending = stage.total - stage.cached
        whole = amount(stage.total, harmless(stage.unit, 20))
        cached = stage.state == "cached"
        part = f"{count(pending)} of {whole}" if stage.cached else whole
        rows.append(
            (
                f"{_MARKERS[stage.state]} {stage.title}",
                whole if cached else f"{part} {_TO_DO[stage.kind]}",
                "" if cached else "unknown" if stage.seconds is None else duration(stage.seconds),
            )
        )
        reasons.append("" if cached else "; ".join(harmless(part) for part in (stage.because, stage.basis) if part))
    lines: list[str] = []
    for line, reason in zip(_columns(rows, limits=(40, 38, 12), right=(2,)), reasons, strict=True):
        lines += [line, *(_wrapped(reason, indent=6, first=6) if reason else [])]
    return lines


def _cost(plan: Plan) -> list[str]:
    cost = plan.cost
    time = "unknown until a run has measured it" if cost.seconds is None else f"about {duration(cost.seconds)}"
    if cost.seconds is not None and any("estimated for" in stage.basis for stage in plan.stages):
        time += "; measure it with doctor --calibrate"
    return _columns(
        [
            ("images", count(cost.images)),
            ("denoising steps", count(cost.denoising_steps)),
            ("time", time),
            *([("GPU-hours", f"{cost.gpu_seconds / 3600:.2f}")] if cost.gpu_seconds else []),
            ("memory", size(cost.memory_bytes)),
            ("disk", size(cost.disk_bytes)),
        ],
        limits=(20, 60),
    )


def _instead(plan: Plan) -> list[str]:
    rows = []
    images = sum(pool.images for pool in plan.pools)
    if plan.cost.fresh_images and images:
        ratio = plan.cost.fresh_images / images
        fewer = f"; {_times(ratio)} fewer here" if ratio > 1 else ""
        rows.append(("fresh sampling", f"{plural(plan.cost.fresh_images, 'image')}{fewer}"))
    if plan.cost.retrainings:
        rows.append(("retraining", f"{plural(plan.cost.retrainings, 'model')} to train; none here"))
    return _columns(rows, limits=(20, 74))


def _warnings(plan: Plan) -> list[str]:
    messages = [harmless(warning, 1000) for warning in plan.warnings]
    return [line for message in messages for line in _wrapped(f"! {message}", indent=4)]


def _closing(plan: Plan) -> str:
    if not plan.pending:
        return "Nothing to do: all stages are cached."
    return f"Apply with `surrogateshap apply {shlex.quote(harmless(plan.spec_file, 4096))}`."


def _part(shown: int, in_all: int) -> str:
    if shown >= in_all:
        return plural(shown, "condition")
    return f"{count(shown)} of {plural(in_all, 'condition')}, which stand for the others"


def _span(low: int, high: int) -> str:
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def _times(ratio: float) -> str:
    return f"{ratio:.1f} ×" if ratio < 10 else f"{ratio:,.0f} ×"


def _columns(rows: Sequence[Sequence[str]], limits: Sequence[int], right: Iterable[int] = ()) -> list[str]:
    """Rows as aligned lines, each column as wide as its widest cell but no wider than its limit."""
    cells = [[harmless(cell) for cell in row] for row in rows]
    widths = [min(limit, max(cell_len(row[i]) for row in cells)) for i, limit in enumerate(limits)] if cells else []
    lines = []
    for row in cells:
        padded = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            shown = cell if cell_len(cell) <= width else set_cell_size(cell, width - 1).rstrip() + "…"
            gap = " " * (width - cell_len(shown))
            padded.append(gap + shown if i in right else shown + gap)
        lines.append(("  " + "  ".join(padded)).rstrip())
    return lines


def _wrapped(text: str, indent: int, first: int = 2) -> list[str]:
    """`text` over several lines: the first indented by `first`, the others by `indent`."""
    room = WIDTH - max(first, indent)
    line = ""
    lines: list[str] = []
    for word in (piece for whole in text.split() for piece in chop_cells(whole, room)):
        margin = " " * (indent if lines else first)
        if line and cell_len(margin) + cell_len(line) + 1 + cell_len(word) > WIDTH:
            lines.append(margin + line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, " " * (indent if lines else first) + line] if line else lines
