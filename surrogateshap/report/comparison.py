"""Methods beside each other: a table for terminals, CSV, and Markdown."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from surrogateshap.record.comparison import (
    FAILED,
    ComparedMethod,
    ComparisonReport,
    MethodCost,
    UtilityComparison,
)
from surrogateshap.record.fidelity import FINE_TUNED
from surrogateshap.record.results import Measured
from surrogateshap.report.data import spreadsheet_cell
from surrogateshap.report.markdown import escape
from surrogateshap.text import harmless
from surrogateshap.units import count, duration, plural, significant

_DASH = "–"
_OURS = ("prompt_proxy", "image_proxy")
_COSTS = ("Images", "Training steps", "Gradients", "Time")


def comparison_table(report: ComparisonReport) -> Group:
    """Costs, then a table per utility, for 80 columns and more."""
    parts: list[RenderableType] = [Text(line, style="bold" if first else "") for first, line in _heading(report)]
    parts += [Text(""), _grid(("Method", *_COSTS), [(one.name, *_cost(one)) for one in report.methods])]
    for title, header, rows, said in _utilities(report):
        parts += [Text(""), Text(title, style="bold"), _grid(header, rows), *map(Text, said)]
    parts += [Text(line) for line in _remarks(report)]
    return Group(*parts)


@dataclass(frozen=True)
class MethodTable:
    """One table of a page."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    said: list[str]


@dataclass(frozen=True)
class MethodsPage:
    """What a page shows of one grouping's methods."""

    heading: list[str]
    tables: list[MethodTable]
    remarks: list[str]


def comparison_page(report: ComparisonReport) -> MethodsPage:
    """The same for pages: costs first, then a table per utility; methods by their titles."""
    titles = {one.name: one.title for one in report.methods}
    costs = [(one.title, *_cost(one), one.paper) for one in report.methods]
    tables = [MethodTable(f"Costs, {report.grouping}", ("Method", *_COSTS, "Paper"), costs, [])]
    for title, header, rows, said in _utilities(report):
        named = [(titles[name], *cells) for name, *cells in rows]
        tables.append(MethodTable(title, header, named, said))
    return MethodsPage([line for _, line in _heading(report)], tables, _remarks(report)[1:])


def comparison_markdown(report: ComparisonReport) -> str:
    """The same as Markdown, with the titles and papers of methods."""
    lines = [f"# Methods beside {escape(report.name)}", "", *(escape(line) for _, line in _heading(report)), ""]
    lines += _md(
        ("Method", *_COSTS, "Paper"), [(one.title, *_cost(one), one.paper) for one in report.methods], right=len(_COSTS)
    )
    for title, header, rows, said in _utilities(report):
        lines += ["", f"## {escape(title)}", "", *_md(header, rows, right=len(header) - 1)]
        lines += ["", *(f"{escape(line)}  " for line in said)] if said else []
    remarks = _remarks(report)
    lines += ["", *(f"{escape(line)}  " for line in remarks)] if remarks else []
    return "\n".join([*lines, ""])


def comparison_csv(report: ComparisonReport) -> str:
    """A line per method and utility; a method without scores has one line. A UTF-8 table with a header."""
    proxies = _proxies(report)
    agreements = [f"{what}_{proxy}" for proxy in proxies for what in ("spearman", "kendall")]
    measured = [f"{name}{end}" for name in ("lds", "agreement") for end in ("", "_low", "_high")]
    removed = sorted({gone.contributors for _, one in _scored(report) for gone in one.removals})
    removals = [f"without_{end}_{count}" for count in removed for end in ("top", "bottom")]
    costs = [f"{when}_{name}" for when in ("stated", "spent") for name in MethodCost.model_fields]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["grouping", "utility", "method", *measured, *agreements, *removals, *costs, "refused"])
    for method in report.methods:
        cost = [getattr(each, name, None) for each in (method.stated, method.spent) for name in MethodCost.model_fields]
        for one in method.utilities or (None,):
            numbers: list[float | None] = []
            for found in (one.lds, one.agreement) if one else (None, None):
                numbers += [found.value, found.low, found.high] if found else [None] * 3
            of_proxy = {each.proxy: each for each in one.ranking} if one else {}
            for proxy in proxies:
                each = of_proxy.get(proxy)
                numbers += [each.spearman, each.kendall] if each else [None] * 2
            gone = {each.contributors: each for each in one.removals} if one else {}
            for k in removed:
                numbers += [gone[k].without_top, gone[k].without_bottom] if k in gone else [None] * 2
            names = [report.grouping, one.utility if one else "", method.name]
            writer.writerow([*map(spreadsheet_cell, names), *numbers, *cost, spreadsheet_cell(method.refused or "")])
    return buffer.getvalue()


def _heading(report: ComparisonReport) -> Iterator[tuple[bool, str]]:
    yield True, harmless(f"{report.name}, run {report.run}: {plural(len(report.contributors), 'contributor')}")
    if not any(one.spent or (one.refused or "").startswith(FAILED) for one in report.methods):
        yield False, "What each method would take; nothing has run."
        return
    anchors = max((one.anchors for one in report.utilities), default=0)
    if anchors:
        biased = f" ({FINE_TUNED})" if report.kind == "fine_tuned" else ""
        yield False, f"LDS and agreement of v: Spearman correlations on {plural(anchors, 'anchor')}{biased}."
    yield False, "ρ and τ: Spearman and Kendall correlations with the run's own values."
    if report.counterfactual:
        how = "fine-tuned" if report.counterfactual == "fine_tuning" else "retrained"
        yield False, f"−k top, −k bottom: utility of models {how} without the k highest, lowest contributors."


def _cost(method: ComparedMethod) -> tuple[str, ...]:
    cost = method.spent or (None if method.refused else method.stated)
    if cost is None:
        return (_DASH,) * len(_COSTS)
    time = _DASH if cost.seconds is None else duration(cost.seconds)
    return count(cost.images), count(cost.training_steps), count(cost.gradients), time


def _proxies(report: ComparisonReport) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.proxy for _, one in _scored(report) for each in one.ranking))


def _scored(report: ComparisonReport) -> Iterator[tuple[ComparedMethod, UtilityComparison]]:
    return ((method, one) for method in report.methods for one in method.utilities)


_Rows = list[tuple[str, ...]]


def _utilities(report: ComparisonReport) -> Iterator[tuple[str, tuple[str, ...], _Rows, list[str]]]:
    """Title, header, rows and remarks of each utility that some method has scores of."""
    proxies = _proxies(report)
    for utility in report.utilities:
        found = [(method, one) for method, one in _scored(report) if one.utility == utility.name]
        if not found:
            continue
        truth, removed = utility.anchors > 0, sorted({gone.contributors for _, one in found for gone in one.removals})
        header = ("Method", *(("LDS", "v") if truth else ()))
        header += tuple(f"{sign} {proxy}" for proxy in proxies for sign in "ρτ")
        header += tuple(f"−{k} {end}" for k in removed for end in ("top", "bottom"))
        rows = [(method.name, *_cells(one, proxies, removed, truth)) for method, one in found]
        said = _better(found)
        if utility.v_model is not None and removed:
            said.append(f"With all contributors: {significant(utility.v_model)}.")
        yield harmless(f"{report.grouping} / {utility.name}"), header, rows, said


def _cells(one: UtilityComparison, proxies: tuple[str, ...], removed: list[int], truth: bool) -> Iterator[str]:
    if truth:
        yield _number(one.lds.value if one.lds else None)
        yield _number(one.agreement.value if one.agreement else None)
    of_proxy = {each.proxy: each for each in one.ranking}
    for proxy in proxies:
        yield _number(of_proxy[proxy].spearman if proxy in of_proxy else None)
        yield _number(of_proxy[proxy].kendall if proxy in of_proxy else None)
    gone = {each.contributors: each for each in one.removals}
    for k in removed:
        yield significant(gone[k].without_top) if k in gone else _DASH
        yield significant(gone[k].without_bottom) if k in gone else _DASH


def _number(value: float | None) -> str:
    return _DASH if value is None else f"{value:.2f}"


def _better(found: list[tuple[ComparedMethod, UtilityComparison]]) -> list[str]:
    """Methods that agree with retrained models better than the run's own values do."""
    lines = []
    for what, title in (("lds", "LDS"), ("agreement", "agreement of v")):
        of: dict[str, Measured] = {method.name: each for method, one in found if (each := getattr(one, what))}
        own = max((of[name].value for name in _OURS if name in of), default=None)
        if own is None:
            continue
        ahead = sorted((name for name in of if name not in _OURS and of[name].value > own), key=lambda x: -of[x].value)
        if ahead:
            told = ", ".join(f"{name} {of[name].value:.2f}" for name in ahead)
            lines.append(f"Better than the run's own {title} of {own:.2f}: {told}.")
    return lines


def _remarks(report: ComparisonReport) -> list[str]:
    lines = [f"{one.name}: {harmless(one.refused, 500)}." for one in report.methods if one.refused]
    of_note: dict[str, list[str]] = {}
    for one in report.methods:
        for note in one.notes:
            of_note.setdefault(note, []).append(one.name)
    lines += [f"{', '.join(names)}: {harmless(note, 500)}" for note, names in of_note.items()]
    lines += [harmless(note, 500) for note in report.notes]
    return ["", *lines] if lines else []


def _grid(header: tuple[str, ...], rows: _Rows) -> Table:
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column(Text(header[0]), min_width=12)
    for title in header[1:]:
        grid.add_column(Text(title), no_wrap=len(header) < 9, justify="right")
    for name, *cells in rows:
        grid.add_row(Text(harmless(name), no_wrap=True, overflow="ellipsis"), *map(Text, cells))
    return grid


def _md(header: tuple[str, ...], rows: _Rows, *, right: int) -> list[str]:
    marks = [":---", *["---:"] * right, *[":---"] * (len(header) - 1 - right)]
    lines = [f"| {' | '.join(map(escape, header))} |", f"|{'|'.join(marks)}|"]
    return lines + [f"| {' | '.join(map(escape, row))} |" for row in rows]
