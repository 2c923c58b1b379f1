"""The plan: what would run and why, what it costs, what it rests on."""

from collections.abc import Iterable
from typing import ClassVar, Self

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from surrogateshap import units
from surrogateshap.errors import Problem, RunError
from surrogateshap.plan.model import GamePlan, Plan, Stage, StageState
from surrogateshap_tui.editing import edit
from surrogateshap_tui.messages import Failed
from surrogateshap_tui.plan_text import cost_lines, instead_lines, summary
from surrogateshap_tui.session import Session
from surrogateshap_tui.source import SpecText
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.spec import page, problem_text
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll
from surrogateshap_tui.widgets.stage_list import WIDE

_BOTH = 130
"""From this width on plan and spec stand side by side."""
_MARKERS: dict[StageState, str] = {"new": "+", "partial": "~", "cached": "="}


class PlanView(Horizontal):
    """The plan, and beside it the spec; on a narrow terminal one of them at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "other", "Spec", tooltip="the spec beside the plan; on a narrow terminal in its place"),
        Binding("e", "edit", "Edit", tooltip="edit the spec in $EDITOR, at the problem; then it is planned anew"),
        Binding("n", "problem(1)", "Next problem", tooltip="the next problem of the spec"),
        Binding("N", "problem(-1)", "Previous problem", show=False, tooltip="the previous problem of the spec"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._session: Session | None = None
        self._problems: tuple[Problem, ...] = ()
        self._current = 0
        self._other = False
        """Whether the user asked for what isn't shown by itself."""
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """See Widget."""
        with Scroll(id="plan-pane"):
            yield Picture(id="plan-picture")
        with Scroll(id="spec-pane"):
            yield Picture(id="spec-picture")

    def show(self, session: Session) -> None:
        """See views."""
        self._session = session
        if session.problems != self._problems:
            self._problems, self._current, self._other = session.problems, 0, False
        shown = (session.plan, session.problem, session.text, session.source.run, self._current)
        new = shown != self._shown
        if new:  # a long plan takes a while to draw
            self._shown = shown
            self._draw(session)
        self._lay_out()
        if new and self._problems:
            self.call_after_refresh(self._to_problem)

    def on_resize(self) -> None:
        """What there is room for may have changed."""
        self._lay_out()

    def focus(self, scroll_visible: bool = True, from_app_focus: bool = False) -> Self:
        """Focuses what is in sight: the spec, where it has problems."""
        spec, plan = self.query_one("#spec-pane"), self.query_one("#plan-pane")
        pane = spec if spec.display and (self._problems or not plan.display) else plan
        pane.focus(scroll_visible)
        return self

    def action_other(self) -> None:
        """Shows or hides the spec; where there is room for one, turns to the other."""
        self._other = not self._other
        self._lay_out()
        self.focus()

    def action_problem(self, step: int) -> None:
        """Goes to the next problem, or to the previous one; around at the ends."""
        self._current = (self._current + step) % len(self._problems)
        if self._session is not None:
            self.show(self._session)

    def action_edit(self) -> None:
        """Lends the terminal to the user's editor, then plans anew."""
        session = self._session
        if session is None or session.text is None:
            return
        problem = self._problems[self._current] if self._problems else None
        line = problem.line if problem is not None and session.text.holds(problem) else 1
        try:
            edit(self.app, session.text.path, line)
        except RunError as error:
            self.post_message(Failed(error))
            return
        if session.job is None:
            session.reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only what can be done now."""
        text = self._session.text if self._session is not None else None
        match action:
            case "edit":
                return text is not None
            case "other":
                return text is not None and bool(text.text)
            case "problem":
                return bool(self._problems)
            case _:
                return True

    def _draw(self, session: Session) -> None:
        plan, text, problems, current = session.plan, session.text, self._problems, self._current
        picture = self.query_one("#plan-picture", Picture)
        if plan is not None:
            picture.show(lambda palette, width: draw_plan(plan, palette, width))
        elif problems and text is not None:
            picture.show(lambda palette, _: draw_problems(text, problems, current, palette))
        else:
            reason = _why_none(session)
            picture.show(lambda palette, _: Text(reason, palette.muted))
        if text is not None:
            self.query_one("#spec-picture", Picture).show(
                lambda palette, width: Group(*page(text, problems, current, palette, width).rows)
            )
        self.refresh_bindings()

    def _lay_out(self) -> None:
        text = self._session.text if self._session is not None else None
        plan, spec = self.query_one("#plan-pane"), self.query_one("#spec-pane")
        there, both = text is not None and bool(text.text), self.size.width >= _BOTH
        seen = there and (bool(self._problems) or both) != self._other
        had_focus = plan.has_focus or spec.has_focus
        spec.display, plan.display = seen, both or not seen
        if had_focus and not (plan.has_focus and plan.display) and not (spec.has_focus and spec.display):
            self.focus()

    def _to_problem(self, tries: int = 10) -> None:
        """Scrolls so that the problem is in sight, with some lines above it; later, where nothing is laid out yet."""
        session, pane = self._session, self.query_one("#spec-pane", Scroll)
        if not self._problems or session is None or session.text is None or not pane.display:
            return
        width = self.query_one("#spec-picture").content_size.width
        place = page(session.text, self._problems, self._current, Palette.of(self.app), max(1, width)).places
        if width and place[self._current] < pane.virtual_size.height:
            pane.scroll_to(y=max(0, place[self._current] - pane.size.height // 3), animate=False)
        elif tries:
            self.call_after_refresh(self._to_problem, tries - 1)


def _why_none(session: Session) -> str:
    """Why there is no plan to be seen."""
    if session.source.run is not None:
        return "This run was opened by its name. Its plan is at its spec: escape, then p on it at Home."
    if session.problem is not None:
        return "No plan: the error that was shown comes first; then r reads it again."
    return "Reading the spec."


def draw_problems(spec: SpecText, problems: tuple[Problem, ...], current: int, palette: Palette) -> RenderableType:
    """All problems, the one that is looked at marked."""
    head = Text(f"No plan: {units.plural(len(problems), 'problem')}", palette.heading)
    keys = Text("n next  N previous  e edit the spec there  r read it again", palette.muted)
    told = (problem_text(problem, at == current, palette, spec.place(problem)) for at, problem in enumerate(problems))
    return Text("\n\n").join((head, *told, keys))


def draw_plan(plan: Plan, palette: Palette, width: int) -> RenderableType:
    """The whole plan, section by section."""
    parts: list[RenderableType] = [
        Text.assemble(plain(plan.name, style="bold"), "  ", (f"plan {plan.plan_id[:12]}", palette.muted)),
        plain(summary(plan)),
    ]
    if plan.warnings:
        parts += _section("Warnings", _warnings(plan.warnings, palette), palette)
    parts += _section("Stages: + new, ~ partly there, = cached", _stages(plan.stages, palette, width), palette)
    if plan.pending:
        most = ", at most" if plan.stops_when else ""
        parts += _section(f"Cost of what is to do{most}", _pairs(cost_lines(plan), palette), palette)
    parts += _section("Instead of", _pairs(instead_lines(plan), palette), palette)
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


def _pairs(lines: Iterable[tuple[str, str]], palette: Palette) -> RenderableType:
    table = _grid("l*")
    for name, value in lines:
        table.add_row(Text(name, palette.muted), Text(value))
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
