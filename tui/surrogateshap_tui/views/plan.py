"""The plan: what would run and why, what it costs, what it rests on."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult

from surrogateshap import units
from surrogateshap.plan.model import Cost, GamePlan, Plan, Stage, StageState
from surrogateshap_tui.plan_text import cost_lines, summary
from surrogateshap_tui.session import Session
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll
from surrogateshap_tui.widgets.stage_list import WIDE

_MARKERS: dict[StageState, str] = {"new": "+", "partial": "~", "cached": "="}


class PlanView(Scroll):
    """Scrolls over the whole plan."""

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Picture(id="plan-picture")

    def show(self, session: Session) -> None:
        """See views."""
        plan = session.plan
        if plan is not None:
            self.query_one(Picture).show(lambda palette, width: draw_plan(plan, palette, width))
            return
        reason = "Reading the spec."
        if session.source.run is not None:
            reason = "The run was opened by its name. Open its spec to see the plan."
        elif session.problem is not None:
            reason = "No plan: the error that was shown comes first; then r reads it again."
        self.query_one(Picture).show(lambda palette, _: Text(reason, palette.muted))


def draw_plan(plan: Plan, palette: Palette, width: int) -> RenderableType:
    """The whole plan, section by section."""
    parts: list[RenderableType] = [
        Text.assemble(plain(plan.name, style="bold"), "  ", (f"plan {plan.plan_id[:12]}", palette.muted)),
        plain(summary(plan)),
    ]
    if plan.warnings:
        parts += _section("Warnings", _warnings(plan.warnings, palette), palette)
    parts += _section("Stages", _stages(plan.stages, palette, width), palette)
    parts += _section("Cost of what is to do", _costs(plan.cost, palette), palette)
    parts += _section("Contributors", _groupings(plan, palette), palette)
    parts += _section("Pools, at most" if plan.stops_when else "Pools", _pools(plan, palette), palette)
    if plan.stops_when:
        parts.append(Padding(plain(f"Stops before that when {', or '.join(plan.stops_when)}", 2000), (0, 0, 0, 2)))
    parts += _section("Games", _games(plan.games, palette), palette)
    parts += _section("Inputs", _inputs(plan, palette), palette)
    return Group(*parts)


def _section(title: str, body: RenderableType, palette: Palette) -> tuple[RenderableType, ...]:
    return Text(), Text(title, palette.heading), Padding(body, (0, 0, 0, 2))


def _grid(justify: str) -> Table:
    """A borderless table; one letter per column: `l`, `r`, or `*` for the one that takes what is left."""
    table = Table(box=None, show_header=False, expand="*" in justify, padding=(0, 2, 0, 0), pad_edge=False)
    for letter in justify:
        table.add_column(justify="right" if letter == "r" else "left", ratio=1 if letter == "*" else None)
    return table


def _headed(justify: str, palette: Palette, *titles: str) -> Table:
    table = _grid(justify)
    table.show_header, table.header_style = True, palette.muted
    for column, title in zip(table.columns, titles, strict=True):
        column.header, column.header_style = Text(title), palette.muted
    return table


def _warnings(warnings: tuple[str, ...], palette: Palette) -> RenderableType:
    table = _grid("l*")
    for warning in warnings:
        table.add_row(Text("!", palette.warning), plain(warning, 2000))
    return table


def _stages(stages: tuple[Stage, ...], palette: Palette, width: int) -> RenderableType:
    styles = {"new": palette.primary, "partial": palette.warning, "cached": palette.success}
    table = _grid("ll*rr")
    for stage in stages:
        style = styles[stage.state]
        title = plain(stage.title)
        if stage.state != "cached":
            why = [plain(reason, 500, palette.muted) for reason in (stage.because, stage.basis) if reason]
            notes = Text("; " if width >= WIDE else "\n", palette.muted).join(why)
            title = Text("\n").join([title, notes]) if why else title
        to_do = stage.total - stage.cached if stage.state == "partial" else stage.total
        part = f"{units.count(to_do)} of " if to_do < stage.total else ""
        table.add_row(
            Text(_MARKERS[stage.state], style),
            Text(stage.state, style),
            title,
            plain(part + units.amount(stage.total, stage.unit)),
            Text("" if stage.state == "cached" else units.duration(stage.seconds)),
        )
    return table


def _costs(cost: Cost, palette: Palette) -> RenderableType:
    table = _grid("ll")
    for name, value in cost_lines(cost):
        table.add_row(Text(name, palette.muted), Text(value))
    table.add_row(
        Text("Instead of", palette.muted),
        Text(f"{units.count(cost.fresh_images)} images, sampled afresh for every coalition"),
    )
    table.add_row(Text("or", palette.muted), Text(f"{units.plural(cost.retrainings, 'retrained model')}"))
    return table


def _groupings(plan: Plan, palette: Palette) -> RenderableType:
    table = _headed("lrrr", palette, "Grouping", "Contributors", "Rows", "Rows each")
    for grouping in plan.groupings:
        table.add_row(
            plain(grouping.name),
            Text(units.count(grouping.contributors)),
            Text(units.count(grouping.rows)),
            Text(_span(grouping.rows_min, grouping.rows_max)),
        )
    return table


def _pools(plan: Plan, palette: Palette) -> RenderableType:
    table = _headed("lrrrr", palette, "Proxy", "Images", "Conditions", "Steps each", "Per contributor")
    for pool in plan.pools:
        table.add_row(
            plain(pool.proxy),
            Text(units.count(pool.images)),
            Text(units.count(pool.conditions)),
            Text(units.count(pool.steps_per_image)),
            Text(_span(pool.per_contributor_min, pool.per_contributor_max)),
        )
    return table


def _games(games: tuple[GamePlan, ...], palette: Palette) -> RenderableType:
    table = _grid("*ll")
    for game in games:
        title = plain(str(game.info))
        for names in game.indistinguishable:
            title.append("\n! can't tell apart: ", palette.warning).append(plain(", ".join(names), 1000))
        if game.coalitions_because:
            title.append("\n  ").append(plain(game.coalitions_because, 200))
        table.add_row(title, Text(game.estimator), Text(f"{units.plural(game.coalitions, 'coalition')}"))
    return table


def _inputs(plan: Plan, palette: Palette) -> RenderableType:
    table = _grid("l*rl")
    for item in plan.inputs:
        table.add_row(
            plain(item.role), plain(item.name), Text(units.size(item.bytes)), Text(item.digest[:12], palette.muted)
        )
    return table


def _span(low: int, high: int) -> str:
    return units.count(low) if low == high else f"{units.count(low)}–{units.count(high)}"
