"""Results as one self-contained HTML page: no script, no font, no request, the same bytes for the same results."""

from functools import cache
from typing import TYPE_CHECKING, Any

from surrogateshap.record.limits import limits_of
from surrogateshap.record.sample import Sample
from surrogateshap.report.comparison import comparison_page
from surrogateshap.report.origin import ReportData
from surrogateshap.report.page import flags_of, games_of
from surrogateshap.report.question import method, question, utilities
from surrogateshap.report.words import ending
from surrogateshap.text import harmless
from surrogateshap.units import size

if TYPE_CHECKING:
    from jinja2 import Environment

LIMIT = 300
"""Characters of a stranger's text that are shown."""


def to_html(data: ReportData, *, top: int | None = None) -> str:
    """The page, with at most `top` contributors at either end of each ranking; by default all up to 60, else 25.

    Every text goes through `harmless` and is escaped on its way into the page, wherever the template names it.
    """
    results, plan, origin = data.results, data.plan, data.origin
    games = games_of(results, top)
    contributors = {(game.grouping, one.name) for game in results.games for one in game.contributors}
    summary = [
        ("Games", f"{len(games):,}"),
        ("Contributors", f"{len(contributors):,}"),
        ("Fidelity", results.fidelity),
        ("Run", results.run),
    ]
    return (
        _environment()
        .get_template("report.html")
        .render(
            title=results.name,
            run=results.run,
            plan_id=results.plan_id,
            summary=summary,
            fidelity=results.fidelity,
            measured=any(game.comparison for game in games),
            games=games,
            question=question(plan) if plan else [],
            utilities=utilities(plan) if plan else [],
            warnings=plan.warnings if plan else (),
            inputs=[(one.role, one.name, size(one.bytes), one.digest) for one in plan.inputs] if plan else [],
            origin=origin,
            flags=flags_of(results),
            endings=[ending(one) for one in results.stopped],
            samples=_samples(data.samples),
            method=method(results, plan),
            limits=limits_of(results),
            comparisons=[comparison_page(one) for one in data.comparisons],
        )
    )


def _samples(samples: tuple[Sample, ...]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """By grouping and proxy: contributors and their images as data URIs."""
    import base64

    found: dict[str, list[tuple[str, list[str]]]] = {}
    for one in samples:
        uris = [f"data:image/png;base64,{base64.b64encode(image).decode()}" for image in one.images]
        found.setdefault(f"{one.grouping}, {one.proxy} proxy", []).append((one.contributor, uris))
    return list(found.items())


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return value if isinstance(value, Markup) else harmless(str(value), LIMIT)

    environment = Environment(
        loader=PackageLoader("surrogateshap.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["short"] = harmless
    environment.filters["drawn"] = Markup  # SVG of our own making, whose texts are escaped already
    environment.filters["uri"] = Markup  # base64 of our own making, longer than a text may be
    return environment
