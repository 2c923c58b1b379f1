"""The record of a finished run: what it is about, and whether it holds against the files beside it."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult

from surrogateshap import units
from surrogateshap.plan.model import Plan
from surrogateshap.record.results import Results
from surrogateshap.record.verify import VerifyReport
from surrogateshap_tui.session import Session
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll


class RecordView(Scroll):
    """Verifies the record when it is first in sight."""

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Picture()

    def show(self, session: Session) -> None:
        """See views."""
        results, plan, report, busy = session.results, session.plan, session.report, session.verifying
        if results is None:
            reason = "No record yet: it is written when the run has finished."
            self.query_one(Picture).show(lambda palette, _: Text(reason, palette.muted))
        else:
            self.query_one(Picture).show(lambda palette, _: draw_record(results, plan, report, busy, palette))


def draw_record(
    results: Results, plan: Plan | None, report: VerifyReport | None, busy: bool, palette: Palette
) -> RenderableType:
    """Names and digests, then each check with its outcome."""
    names = _grid()
    names.add_row(Text("Run", palette.muted), plain(results.run))
    names.add_row(Text("Plan", palette.muted), plain(results.plan_id))
    names.add_row(Text("Games", palette.muted), Text(units.count(len(results.games))))
    names.add_row(Text("Fidelity", palette.muted), plain(results.fidelity, 2000))
    parts: list[RenderableType] = [plain(results.name, style="bold"), Text(), names]
    if plan is not None and plan.plan_id == results.plan_id:
        inputs = _grid()
        for item in plan.inputs:
            inputs.add_row(plain(item.role, style=palette.muted), plain(f"{item.name}  sha256 {item.digest}", 500))
        parts += [Text(), Text("Inputs", palette.heading), inputs]
    parts += [Text(), Text("Verification", palette.heading), _checks(report, busy, palette)]
    return Group(*parts)


def _checks(report: VerifyReport | None, busy: bool, palette: Palette) -> RenderableType:
    if report is None:
        return Text("Reading the files." if busy else "Not verified yet: v verifies.", palette.muted)
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=6)
    table.add_column(ratio=1)
    for check in report.checks:
        sign = Text("✓ ok", palette.success) if check.holds else Text("✗ FAIL", palette.error)
        table.add_row(sign, plain(f"{check.name}: {check.detail}", 1000))
    outcome = Text("✓ The record holds.", palette.success)
    return Group(table, outcome if report.holds else Text("✗ The record does not hold.", palette.error))


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=10)
    table.add_column(ratio=1)
    return table
