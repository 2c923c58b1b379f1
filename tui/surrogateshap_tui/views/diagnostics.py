"""How far a game can be believed: the surrogate's fit, the efficiency gap, intervals, agreement with retraining."""

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult

from surrogateshap import units
from surrogateshap.record.fidelity import agreement
from surrogateshap.record.results import Fidelity, GameResult
from surrogateshap.text import harmless
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.session import Session
from surrogateshap_tui.state import Look
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.ranking import standing
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scatter import scatter
from surrogateshap_tui.widgets.scrolling import Scroll

_BESIDE = 104
"""From this width on two scatter plots stand beside each other."""
_BAR = 24


class DiagnosticsView(Scroll):
    """The diagnostics of the game that is shown."""

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Picture()

    def show(self, session: Session) -> None:
        """See views."""
        game, target = session.game, session.source.target
        ranking = session.state.ranking(game) if game else None
        result = ranking.result if ranking else None
        looks = tuple(one for one in session.state.looks if one.game == game)
        rounds = game is not None and any(one.proxy == game.proxy and one.rounds > 1 for one in session.state.stopped)
        number = f"game {session.state.games.index(game) + 1} of {len(session.state.games)}" if game else ""
        picture = self.query_one(Picture)
        if result is None:
            reason = f"{standing(ranking).capitalize()}: a game is diagnosed once its results are there."
            picture.show(
                lambda palette, width: Group(Text(reason, palette.muted), Text(), *_looks(looks, None, rounds, palette))
            )
        else:
            picture.show(lambda palette, width: draw_diagnostics(result, looks, rounds, target, number, palette, width))


def draw_diagnostics(
    result: GameResult,
    looks: Sequence[Look],
    rounds: bool,
    target: str,
    number: str,
    palette: Palette,
    width: int,
) -> RenderableType:
    """One game's diagnostics: in words, then as plots.

    `target` is what commands name the run by; `rounds` says that the pool was filled in more rounds than one.
    """
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=16)
    table.add_column(ratio=1)
    for name, found in diagnosis(result):
        table.add_row(Text(name, palette.muted), plain(found, 2000))
    for warning in result.warnings:
        table.add_row(Text("! warning", palette.warning), plain(warning, 2000))
    title = Text.assemble(
        plain(f"{result.grouping} / {result.utility} / {result.proxy}", style="bold"), (f"  {number}", palette.muted)
    )
    fit, agrees = Group(*_fit(result, palette)), Group(*_fidelity(result.fidelity, target, palette))
    plots: list[RenderableType] = [fit, Text(), agrees]
    if width >= _BESIDE and result.fidelity is not None:
        beside = Table.grid(padding=(0, 4, 0, 0), expand=True)
        beside.add_column(ratio=1)
        beside.add_column(ratio=1)
        beside.add_row(fit, agrees)
        plots = [beside]
    return Group(title, Text(), table, Text(), *plots, Text(), *_looks(looks, result, rounds, palette))


def diagnosis(result: GameResult) -> tuple[tuple[str, str], ...]:
    """What is known of a game's reliability, in words."""
    scale = Scale((result.v_empty, result.v_full))
    widths = sorted(row.high - row.low for row in result.contributors)
    fit = "none: every coalition was evaluated" if result.estimator == "exact" else "not measured"
    if result.surrogate is not None:
        fit = f"R² {result.surrogate.cv_r2:.3f} on held-out coalitions, {units.plural(result.surrogate.trees, 'tree')}"
    rows = [
        ("Estimator", f"{result.estimator}, {units.plural(result.coalitions, 'coalition')}"),
        ("Surrogate", fit),
        ("Efficiency gap", f"{units.significant(result.efficiency_gap)} of {scale(result.v_full - result.v_empty)}"),
    ]
    if widths:
        half = Scale(widths)
        spread = f"median width {half(widths[len(widths) // 2])}, widest {half(widths[-1])}"
        images = f"from {units.plural(result.images, 'image')}"
        rows.append(("Intervals", f"{spread}, at {result.level:.0%}".replace("%", " %") + f", {images}"))
    found = result.fidelity
    rows.append(("Fidelity", agreement(found) if found is not None else "not measured"))
    if found is not None:
        line = f"retrained ≈ {found.intercept:.3g} + {found.slope:.3g} × proxy"
        rows.append(("Regression", line))
        rows += [("Note", note) for note in found.notes]
    return tuple(rows)


def expected(result: GameResult, more: float) -> float | None:
    """The median interval's width with `more` times the images, as the standard errors let one expect it.

    Their part of the variance falls as 1 / images, that of the coalitions stays. None where there are no intervals.
    """
    widths = []
    for row in result.contributors:
        now = math.hypot(row.sd_images, row.sd_coalitions)
        if now > 0 and row.high > row.low:
            then = math.hypot(row.sd_images / math.sqrt(more), row.sd_coalitions)
            widths.append((row.high - row.low) * then / now)
    return sorted(widths)[len(widths) // 2] if widths else None


def _fit(result: GameResult, palette: Palette) -> Iterator[RenderableType]:
    yield Text("Surrogate: predicted against evaluated", palette.heading)
    points = [(one.evaluated, one.predicted) for one in result.surrogate.held_out] if result.surrogate else []
    if points:
        yield from _plot(points, "evaluated", "predicted", palette)
        yield Text(
            f"{units.plural(len(points), 'held-out coalition')}; on the dotted line both are equal", palette.muted
        )
    elif result.surrogate is not None:
        yield Text("not kept: an older version made these results; apply the spec again to have it", palette.muted)
    elif result.estimator == "exact":
        yield Text("no surrogate: every coalition was evaluated", palette.muted)
    else:
        yield Text(f"not measured: {result.estimator} has no held-out coalitions", palette.muted)


def _fidelity(found: Fidelity | None, target: str, palette: Palette) -> Iterator[RenderableType]:
    yield Text("Fidelity: the proxy's values against retrained ones", palette.heading)
    if found is None:
        shown = harmless(target)
        yield Text("not measured: it needs models that were trained on some coalitions", palette.muted)
        yield Text("→ ", palette.success).append(f"surrogateshap anchors plan {shown} --count 15 -o anchors")
        yield Text("→ ", palette.success).append("surrogateshap anchors train anchors --allow-commands")
        yield Text("→ ", palette.success).append(f"surrogateshap evaluate {shown} --against anchors/anchors.parquet")
        return
    points = [(one.retrained, one.proxy) for one in found.points]
    if points:
        yield from _plot(points, "retrained", "proxy", palette)
        yield Text(f"{units.plural(len(points), 'anchor')}; on the dotted line both are equal", palette.muted)
        return
    scale = Scale([end for part in found.calibration for end in (part.proxy, part.retrained)])
    yield Text("anchors one by one were not kept; their means, lowest proxy values first:", palette.muted)
    for part in found.calibration:
        yield Text(
            f"{units.plural(part.anchors, 'anchor')}: proxy {scale(part.proxy)}, retrained {scale(part.retrained)}"
        )


def _plot(points: Sequence[tuple[float, float]], x: str, y: str, palette: Palette) -> Iterator[RenderableType]:
    lines, low, high = scatter(points, 40, 11)
    scale = Scale((low, high))
    ends = scale(low), scale(high)
    room = max(map(len, ends))
    yield Text(f"{'':>{room}} {y}", palette.muted)
    for number, line in enumerate(lines):
        label = ends[1] if number == 0 else ends[0] if number == len(lines) - 1 else ""
        yield Text.assemble((f"{label:>{room}} │", palette.muted), (line, palette.primary), no_wrap=True)
    yield Text(f"{'':>{room}} └{'─' * 40}", palette.muted, no_wrap=True)
    yield Text(f"{'':>{room}}  {ends[0]}{ends[1]:>{40 - len(ends[0])}}  {x}", palette.muted, no_wrap=True)


def _looks(
    looks: Sequence[Look], result: GameResult | None, rounds: bool, palette: Palette
) -> Iterator[RenderableType]:
    """Interval against number of images: as it was measured, then what more images may give."""
    yield Text("Intervals against number of images", palette.heading)
    widths = [end for one in looks for end in (one.median, one.widest)]
    scale, most = Scale(widths), max((one.median for one in looks), default=0.0)
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column(no_wrap=True)
    table.add_row(*(Text(title, palette.muted) for title in ("Images", "Median width", "", "Widest")))
    for one in looks:
        bar = Text("━" * max(1, round(one.median / most * _BAR)) if most > 0 else "", palette.primary)
        table.add_row(Text(units.count(one.images)), Text(scale(one.median)), bar, Text(scale(one.widest)))
    more = expected(result, 2.0) if result is not None and result.images else None
    if result is not None and more is not None:
        bar = Text("╌" * max(1, round(more / most * _BAR)) if most > 0 else "", palette.muted)
        images = Text(units.count(2 * result.images), palette.muted)
        table.add_row(images, Text(scale(more), palette.muted), bar, Text("expected, not measured", palette.muted))
    if len(looks) or more is not None:
        yield table
    if not looks:
        yield Text("not measured yet", palette.muted)
    elif len(looks) == 1 and rounds:
        yield Text("those of the pool's rounds are shown where the run is opened by its name", palette.muted)
    elif len(looks) == 1:
        said = "measured at one number of images: with budget.stop_when a run is looked at round by round"
        yield Text(said, palette.muted)
