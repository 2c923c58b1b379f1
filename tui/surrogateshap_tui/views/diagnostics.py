"""How far a game can be believed: the surrogate's fit, the efficiency gap, intervals, agreement with retraining."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult

from surrogateshap import units
from surrogateshap.record.fidelity import agreement
from surrogateshap.record.results import GameResult
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.session import Session
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.ranking import standing
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll


class DiagnosticsView(Scroll):
    """The diagnostics of the game that is shown."""

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Picture()

    def show(self, session: Session) -> None:
        """See views."""
        game = session.game
        ranking = session.state.ranking(game) if game else None
        result = ranking.result if ranking else None
        if result is None:
            reason = f"{standing(ranking).capitalize()}: a game is diagnosed once its results are there."
            self.query_one(Picture).show(lambda palette, _: Text(reason, palette.muted))
        else:
            self.query_one(Picture).show(lambda palette, _: draw_diagnostics(result, palette))


def draw_diagnostics(result: GameResult, palette: Palette) -> RenderableType:
    """One game's diagnostics, as pairs of what was looked at and what was found."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=16)
    table.add_column(ratio=1)
    for name, found in diagnosis(result):
        table.add_row(Text(name, palette.muted), plain(found, 2000))
    for warning in result.warnings:
        table.add_row(Text("! warning", palette.warning), plain(warning, 2000))
    title = plain(f"{result.grouping} / {result.utility} / {result.proxy}", style="bold")
    return Group(title, Text(), table)


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
