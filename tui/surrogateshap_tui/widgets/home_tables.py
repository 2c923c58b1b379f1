"""The rows of Home's two tables, fitted to a width."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.style import Style
from rich.text import Text

from surrogateshap import units
from surrogateshap.runs import RunSummary
from surrogateshap.text import harmless
from surrogateshap_tui.library import About, Listing
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import plain
from surrogateshap_tui.widgets.stage_list import bar

MARK = "◆"
ORDERS = ("changed", "run", "state", "progress")
"""What runs can be sorted by."""
_SIGNS = {"running": ">", "done": "✓", "failed": "✗", "interrupted": "!"}
_STATES = tuple(_SIGNS)
_GAP = 2
_BAR = 6
Rows = list[tuple[Text, ...]]


def matching(listing: Listing, abouts: Mapping[str, About], words: str) -> Listing:
    """What holds all of the words, in a name, a path or a state."""
    wanted = words.casefold().split()

    def holds(*texts: str) -> bool:
        text = " ".join(texts).casefold()
        return all(word in text for word in wanted)

    specs = tuple(spec for spec in listing.specs if holds(spec, abouts.get(spec, About()).name))
    kept = listing.of(pair for pair in listing.pairs if holds(pair[0].run, pair[0].status, pair[1]))
    return replace(kept, specs=specs)


def in_order(listing: Listing, order: str) -> Listing:
    """With the runs sorted; those that are alike stay as they were."""
    return listing.of(sorted(listing.pairs, key=lambda pair: _key(pair[0], order)))


def _key(run: RunSummary, order: str) -> tuple[float, str]:
    match order:
        case "run":
            return 0, run.run
        case "state":
            return _STATES.index(run.status), ""
        case "progress":
            return -run.stages_done / max(1, run.stages), ""
        case _:
            return -run.updated, ""


def spec_rows(
    listing: Listing, abouts: Mapping[str, About], whole: Listing, now: float, palette: Palette, width: int
) -> Rows:
    """Path, what it is, and its last run, which may be one that isn't shown."""
    lasts = [_last(whole.last_run(spec), now, palette) for spec in listing.specs]
    paths = [plain(spec) for spec in listing.specs]
    taken = _widest(paths) + _widest(lasts) + 3 * _GAP
    rows: Rows = []
    for spec, path, last in zip(listing.specs, paths, lasts, strict=True):
        rows.append((path, _fitted(_about(abouts.get(spec), palette), max(16, width - taken)), last))
    return rows


def run_rows(listing: Listing, marked: Sequence[str], now: float, palette: Palette, width: int) -> Rows:
    """Mark, state, name, progress, when, and the spec."""
    rows: Rows = []
    for run, spec in listing.pairs:
        style = _style(run, palette)
        done = run.stages_done / run.stages if run.stages else 0.0
        progress = Text.assemble(bar(done, _BAR, style, palette.muted), f" {run.stages_done}/{run.stages}")
        where = plain(spec) if spec else Text(f"{harmless(run.spec_file)} (not here)", palette.muted)
        rows.append(
            (
                Text(MARK if run.run in marked else " ", palette.warning),
                Text(f"{_SIGNS[run.status]} {run.status}", style),
                plain(run.run),
                progress,
                Text(f"{units.duration(max(0.0, now - run.updated))} ago"),
                where,
            )
        )
    taken = sum(_widest([row[at] for row in rows]) + _GAP for at in range(5)) + _GAP
    return [(*row[:5], _fitted(row[5], max(8, width - taken))) for row in rows]


def _about(about: About | None, palette: Palette) -> Text:
    if about is None:
        return Text("…", palette.muted)
    if about.problems:
        return Text(f"! {units.plural(about.problems, 'problem')}", palette.error)
    return plain(about.name).append(f"  {about.words}", palette.muted)


def _last(run: RunSummary | None, now: float, palette: Palette) -> Text:
    if run is None:
        return Text("never run", palette.muted)
    when = units.duration(max(0.0, now - run.updated))
    return Text(f"{_SIGNS[run.status]} {run.status}, {when} ago", _style(run, palette))


def _style(run: RunSummary, palette: Palette) -> Style:
    styles = {"running": palette.primary, "done": palette.success, "failed": palette.error}
    return styles.get(run.status, palette.warning)


def _widest(cells: Sequence[Text]) -> int:
    return max((cell.cell_len for cell in cells), default=0)


def _fitted(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    return text
