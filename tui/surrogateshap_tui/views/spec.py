"""The spec's text with its problems on their lines. It is a stranger's: what can't be printed is not."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.style import Style
from rich.text import Text

from surrogateshap import units
from surrogateshap.errors import Problem
from surrogateshap.text import harmless
from surrogateshap_tui.source import SpecText
from surrogateshap_tui.theme import Palette

_MOST_LINES = 5000
_MOST_COLUMNS = 1000
_TAB = 4
_PARTS = re.compile(
    r"""(?P<comment>\#.*$)|(?P<text>"(?:\\.|[^"\\])*"?|'[^']*'?)|(?P<key>^\s*[\w.-]+(?=\s*=))|(?P<table>^\s*\[+[^\]=]+\]+)"""
)
"""Of one line of TOML, near enough for colours."""


@dataclass(frozen=True)
class Page:
    """The text as rows of a width, and the row at which each problem is."""

    rows: tuple[Text, ...]
    places: tuple[int, ...]


def page(spec: SpecText, problems: Sequence[Problem], current: int, palette: Palette, width: int) -> Page:
    """Lines with their numbers; below each its problems, the current one marked. Those of no line here come first."""
    lines = spec.lines[:_MOST_LINES]
    by_line: dict[int, list[int]] = {}
    for number, problem in enumerate(problems):
        line = problem.line if spec.holds(problem) and problem.line <= len(lines) else 0
        by_line.setdefault(line, []).append(number)
    digits = len(str(len(lines)))
    rows: list[Text] = []
    places = [0] * len(problems)

    def tell(numbers: Sequence[int], margin: int) -> None:
        for number in numbers:
            places[number] = len(rows)
            where = "" if margin else spec.place(problems[number])
            told = problem_text(problems[number], number == current, palette, where)
            rows.extend(_told(told, margin, width))

    tell(by_line.get(0, ()), 0)
    if rows:
        rows.append(Text())
    for at, written in enumerate(lines, 1):
        here, start = by_line.get(at, ()), len(rows)
        sign = ">" if current in here else "!" if here else " "
        margin, style = f"{sign}{at:>{digits}} ", palette.error if here else palette.muted
        for piece in _wrapped(_coloured(written, palette), width - digits - 2):
            rows.append(Text.assemble((margin, style), piece))
            margin = " " * (digits + 2)
        tell(here, digits + 2)
        for number in here:
            places[number] = start
    if len(spec.lines) > len(lines):
        rows.append(Text(f"… {units.count(len(spec.lines) - len(lines))} more lines", palette.muted))
    return Page(tuple(rows), tuple(places))


def problem_text(problem: Problem, current: bool, palette: Palette, where: str) -> Text:
    """What is wrong and what to do, marked if it is the one that is looked at; `where`, unless empty, stands above."""
    text = Text()
    if where:
        text.append(f"{where} ", palette.muted).append(harmless(problem.key), palette.heading).append("\n")
    style = palette.error + Style(bold=True) if current else palette.error
    text.append("▸ " if current else "! ", style).append(harmless(problem.message, 2000), style)
    if problem.remedy:
        text.append("\n→ ", palette.success).append(harmless(problem.remedy, 2000), palette.success)
    return text


def _told(told: Text, margin: int, width: int) -> Iterator[Text]:
    for line in told.split("\n"):
        for number, piece in enumerate(_by_words(line, width - margin - 2)):
            yield Text(" " * (margin + (2 if number else 0))) + piece


def _by_words(text: Text, width: int) -> Iterator[Text]:
    """Broken between words where it can be."""
    width = max(8, width)
    plain, ends = text.plain, [0]
    while cell_len(plain[ends[-1] :]) > width:
        start = ends[-1]
        end = start + len(chop_cells(plain[start:], width)[0])
        space = plain.rfind(" ", start + 1, end + 1)
        ends.append(space + 1 if space > start else end)
    yield from text.divide(ends[1:])


def _wrapped(text: Text, width: int) -> Iterator[Text]:
    """Broken at the width: in code every space counts."""
    pieces = chop_cells(text.plain, max(8, width))
    ends, end = [], 0
    for piece in pieces[:-1]:
        end += len(piece)
        ends.append(end)
    yield from text.divide(ends)


def _coloured(line: str, palette: Palette) -> Text:
    shown = "".join(
        part if part.startswith(" ") else harmless(part, _MOST_COLUMNS)
        for part in re.split("( +)", line[:_MOST_COLUMNS].rstrip("\r").expandtabs(_TAB))
    )
    text = Text(shown + ("…" if len(line) > _MOST_COLUMNS else ""))
    styles = {
        "comment": palette.muted,
        "text": palette.success,
        "key": palette.primary,
        "table": palette.heading,
    }
    for match in _PARTS.finditer(shown):
        text.stylize(styles[str(match.lastgroup)], *match.span())
    return text
