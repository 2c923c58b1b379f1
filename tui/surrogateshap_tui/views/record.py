"""The record of a finished run: what it is about, what it was made with, its limits, and whether it holds."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult

from surrogateshap import units
from surrogateshap.plan.model import Plan
from surrogateshap.record.checks import Check, VerifyReport
from surrogateshap.record.results import Results
from surrogateshap_tui.made import Made, Provenance
from surrogateshap_tui.session import Session
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll

_CHECKS = 200
"""Checks that hold are shown one by one up to this number; those that don't, always."""


class RecordView(Scroll):
    """Verifies the record when it is first in sight."""

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Picture()

    def show(self, session: Session) -> None:
        """See views."""
        results, plan, report, busy, made = (
            session.results,
            session.plan,
            session.report,
            session.verifying,
            session.made,
        )
        if results is None:
            reason = "No record yet: it is written when the run has finished."
            self.query_one(Picture).show(lambda palette, _: Text(reason, palette.muted))
        else:
            self.query_one(Picture).show(lambda palette, _: draw_record(results, plan, report, busy, palette, made))


def draw_record(
    results: Results, plan: Plan | None, report: VerifyReport | None, busy: bool, palette: Palette, made: Made
) -> RenderableType:
    """Whether it holds, then names and digests, environment and limits, then each check."""
    said = made.record or Provenance()
    names = _grid()
    for title, text in (
        ("Run", results.run),
        ("Plan", results.plan_id),
        ("Games", units.count(len(results.games))),
        ("Fidelity", results.fidelity),
        ("Folder", made.folder or "not known"),
        ("Signed", _signed(report)),
    ):
        names.add_row(Text(title, palette.muted), plain(text, 2000))
    keys = Text("v verifies it again   x exports the results", palette.muted)
    parts: list[RenderableType] = [
        plain(results.name, style="bold"),
        _outcome(report, busy, palette),
        keys,
        Text(),
        names,
    ]
    inputs = said.inputs
    if not inputs and plan is not None and plan.plan_id == results.plan_id:
        inputs = tuple((item.role, item.name, item.digest) for item in plan.inputs)
    for title, rows in (
        ("Files that it names", [(name, f"sha256 {digest}") for name, digest in said.subjects]),
        ("Inputs", [(role, f"{name}  sha256 {digest}") for role, name, digest in inputs]),
        ("Environment", _environment(said)),
    ):
        if rows:
            grid = _grid()
            for name, text in rows:
                grid.add_row(plain(name, style=palette.muted), plain(text, 500))
            parts += [Text(), Text(title, palette.heading), grid]
    if said.limits:
        grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
        grid.add_column(width=1)
        grid.add_column(ratio=1)
        for limit in said.limits:
            grid.add_row(Text("!", palette.warning), plain(limit, 2000))
        parts += [Text(), Text("What the values can't tell", palette.heading), grid]
    if report is not None:
        parts += [Text(), Text("Checks", palette.heading), *_steps(report, palette)]
    return Group(*parts)


def _outcome(report: VerifyReport | None, busy: bool, palette: Palette) -> Text:
    if busy:
        return Text("Verifying: reading the files.", palette.muted)
    if report is None:
        return Text("Not verified yet: v verifies.", palette.muted)
    if report.holds:
        return Text(f"✓ The record holds. {units.plural(len(report.checks), 'check')}.", palette.success)
    failed = sum(not check.holds for check in report.checks)
    return Text(f"✗ The record does not hold. {units.plural(failed, 'check')} failed.", palette.error)


def _signed(report: VerifyReport | None) -> str:
    """What the checks of signatures say."""
    if report is None:
        return "not verified yet"
    found = [check for check in report.checks if check.step == "signatures"]
    if not found:
        return "no: its digests find damage, not forgery"
    return "; ".join(f"{check.name}: {check.detail}" for check in found)


def _environment(said: Provenance) -> list[tuple[str, str]]:
    rows = [("versions", ", ".join(f"{name} {number}" for name, number in said.versions))] if said.versions else []
    rows += [("device", device) for device in said.devices]
    rows += [("batch size", said.batch_size)] if said.batch_size else []
    rows += [("seeds", ", ".join(f"{name} {seed}" for name, seed in said.seeds))] if said.seeds else []
    return rows


def _steps(report: VerifyReport, palette: Palette) -> list[RenderableType]:
    """What each step proved, with its checks; then what wasn't checked."""
    parts: list[RenderableType] = []
    for step in report.steps:
        head = Text.assemble(_sign(step.holds, palette), "  ", (step.name, "bold"))
        if step.holds:
            head.append(f": {step.proves}", palette.muted)
        parts += [head, *_checks([check for check in report.checks if check.step == step.name], palette)]
    return [*parts, *(plain(note, 1000) for note in report.notes)]


def _sign(holds: bool, palette: Palette) -> Text:
    return Text("✓ ok", palette.success) if holds else Text("✗ FAIL", palette.error)


def _checks(checks: Sequence[Check], palette: Palette) -> list[RenderableType]:
    """Those that don't hold first."""
    ordered = sorted(checks, key=lambda check: check.holds)
    shown = [check for at, check in enumerate(ordered) if at < _CHECKS or not check.holds]
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=8)
    table.add_column(ratio=1, overflow="fold")
    for check in shown:
        table.add_row(Text("  ").append_text(_sign(check.holds, palette)), plain(f"{check.name}: {check.detail}", 1000))
    rest = len(ordered) - len(shown)
    return [table, Text(f"and {units.plural(rest, 'other')} that hold", palette.muted)] if rest else [table]


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=16, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    return table
