"""The HTML report in a real browser: on a phone, on a screen, in the dark and on paper."""

import io
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from surrogateshap.report import Origin, ReportData, to_html
from tests.browser.driver import Browser, chromedriver, served
from tests.samples import (
    HOSTILE,
    anchored_results,
    contributor,
    game,
    hostile_plan,
    hostile_results,
    paying_results,
    peaceful_plan,
    peaceful_results,
    sampled,
)

pytestmark = pytest.mark.browser
PHONE, SCREEN = (390, 844), (1280, 900)


def crowd() -> ReportData:
    many = tuple(contributor(f"contributor {i}", i + 1, 1.0 / (i + 1), 0.25 / (i + 1)) for i in range(10_000))
    return ReportData(peaceful_results().model_copy(update={"games": (game(many),)}), peaceful_plan())


NAMES = (
    "Z" + "\u0335\u0321\u034a" * 60,
    "فاطمة (١٢)",
    "שלום 12 abc",
    "👩\u200d🎨 studio",
    "ﷺ" * 30,
    "word " * 90,
    "é" * 400,
)
SCRIPTS = tuple(contributor(name, i + 1, 1.0 / (i + 1), 0.25) for i, name in enumerate(NAMES))
ORIGIN = Origin(
    files=(("results.json", "a" * 64), ("spec.toml", "b" * 64)),
    versions=(("python", "3.12.1"), ("torch", "2.13.0")),
    devices=("cuda:0 NVIDIA H100, bfloat16, threads: 8",),
    batch_size=256,
)
PAGES: dict[str, Callable[[], ReportData]] = {
    "peaceful": lambda: ReportData(peaceful_results(), peaceful_plan(), ORIGIN),
    "anchored": lambda: ReportData(anchored_results(), peaceful_plan(), ORIGIN),
    "paying": lambda: ReportData(paying_results(), peaceful_plan(), ORIGIN),
    "sampled": lambda: sampled(ReportData(peaceful_results(), peaceful_plan(), ORIGIN)),
    "hostile": lambda: sampled(ReportData(hostile_results(), hostile_plan(), Origin(((HOSTILE[5], "c" * 64),)))),
    "scripts": lambda: ReportData(peaceful_results().model_copy(update={"games": (game(SCRIPTS),)})),
    "crowd": crowd,
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromedriver(tmp_path_factory.mktemp("driver") / "log") as base:
        yield base


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, list[str]]]:
    with served({f"/{name}.html": to_html(make()) for name, make in PAGES.items()}) as found:
        yield found


@pytest.fixture(scope="module", params=[PHONE, SCREEN], ids=["phone", "screen"])
def browser(
    request: pytest.FixtureRequest, driver: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Browser, tuple[int, int]]]:
    made = Browser(driver, tmp_path_factory.mktemp("profile"), request.param, phone=request.param == PHONE)
    try:
        yield made, request.param
    finally:
        made.close()


def keep(name: str, data: bytes) -> None:
    """PICTURES=FOLDER keeps what was seen, for a person to look at."""
    if folder := os.environ.get("PICTURES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_bytes(data)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_asks_for_nothing(
    name: str, browser: tuple[Browser, tuple[int, int]], site: tuple[str, list[str]]
) -> None:
    (page, (width, _)), (base, asked) = browser, site
    page.scheme("light")
    page.requests(), page.console()
    asked.clear()
    page.open(f"{base}/{name}.html")
    keep(f"{name}-{width}.png", page.picture(whole=True))
    assert page.console() == []
    assert [url for url in page.requests() if not url.startswith("data:")] == [f"{base}/{name}.html"]
    assert asked == [f"/{name}.html"]
    seen: dict[str, Any] = page.run(
        "return {wide: document.documentElement.scrollWidth, scripts: document.scripts.length,"
        " links: [...document.links].filter(a => !a.getAttribute('href').startsWith('#')).length,"
        " stray: document.querySelectorAll('iframe,object,embed,form,input,base,template').length}"
    )
    assert seen["wide"] <= width
    assert (seen["scripts"], seen["links"], seen["stray"]) == (0, 0, 0)


OVERFLOWING = """
return [...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && box.right > innerWidth + 1 && !e.closest('.wide') && !e.closest('svg');
}).map(e => e.outerHTML.slice(0, 120));
"""


@pytest.mark.parametrize("name", PAGES)
def test_nothing_sticks_out(name: str, browser: tuple[Browser, tuple[int, int]], site: tuple[str, list[str]]) -> None:
    browser[0].open(f"{site[0]}/{name}.html")
    assert browser[0].run(OVERFLOWING) == []


HEIGHTS = "return [...document.querySelectorAll('.stack .name')].map(e => getComputedStyle(e).overflowY)"


def test_marks_stay_in_their_row(browser: tuple[Browser, tuple[int, int]], site: tuple[str, list[str]]) -> None:
    """A name under a heap of accents is cut off where its line ends, and no direction leaks out of a name."""
    page, _ = browser
    page.open(f"{site[0]}/scripts.html")
    assert set(page.run(HEIGHTS)) == {"clip"}
    directions = "return [...document.querySelectorAll('.name')].map(e => getComputedStyle(e).unicodeBidi)"
    assert set(page.run(directions)) == {"isolate"}


RANKINGS = "return [...document.querySelectorAll('table.stack')].map(t => [t.scrollWidth, t.parentElement.clientWidth])"


def test_rankings_need_no_scrolling(browser: tuple[Browser, tuple[int, int]], site: tuple[str, list[str]]) -> None:
    for name in ("peaceful", "anchored", "hostile", "scripts", "crowd"):
        browser[0].open(f"{site[0]}/{name}.html")
        assert all(inside <= outside for inside, outside in browser[0].run(RANKINGS))


CONTRAST = """
const numbers = c => c.match(/[0-9.]+/g).map(Number);
const light = c => { const [r, g, b] = numbers(c).slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 :
  ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
const paper = light(getComputedStyle(document.body).backgroundColor);
const ratio = l => (Math.max(l, paper) + .05) / (Math.min(l, paper) + .05);
const worst = {};
for (const e of document.querySelectorAll('body *')) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
  if (e.matches('title, .shares text')) continue;
  const style = getComputedStyle(e), colour = e.closest('svg') ? style.fill : style.color;
  worst[e.tagName + '.' + (e.getAttribute('class') || '')] = ratio(light(colour));
}
for (const e of document.querySelectorAll('svg .line, svg .zero, svg .axis, svg .fit')) {
  worst[e.getAttribute('class')] = Math.min(9, ratio(light(getComputedStyle(e).stroke)) * 1.5);
}
return worst;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str, browser: tuple[Browser, tuple[int, int]], site: tuple[str, list[str]]) -> None:
    """4.5 for text, and 3 for lines, which are multiplied by 1.5 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    page, (width, _) = browser
    page.scheme(scheme)
    for name in ("anchored", "paying"):
        page.open(f"{site[0]}/{name}.html")
        keep(f"{name}-{width}-{scheme}.png", page.picture(whole=True))
        found = page.run(CONTRAST)
        assert len(found) > 12
        assert {what: ratio for what, ratio in found.items() if ratio < 4.5} == {}
    dark = Image.open(io.BytesIO(page.picture())).convert("L").getpixel((2, 2))
    assert (dark < 64) == (scheme == "dark")  # type: ignore[operator]


TREE = {"heading", "table", "image", "caption", "rowheader", "columnheader", "region", "navigation", "main"}


def test_what_a_screen_reader_is_told(browser: tuple[Browser, tuple[int, int]], site: tuple[str, list[str]]) -> None:
    """Restacked tables are still tables, every plot has a name, and headings leave no level out."""
    page, _ = browser
    page.open(f"{site[0]}/anchored.html")
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    told = [node for node in nodes if not node.get("ignored")]
    roles = {node["role"]["value"].casefold() for node in told}
    assert {"img" if role == "image" and "img" in roles else role for role in TREE} <= roles
    plots = [node for node in told if node["role"]["value"] in ("image", "img")]
    assert len(plots) > 8
    assert all(node["name"]["value"] for node in plots)
    levels = [
        int(level) for level in page.run("return [...document.querySelectorAll('h1,h2,h3,h4')].map(h => h.tagName[1])")
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", ["anchored", "sampled", "crowd"])
def test_it_prints(name: str, browser: tuple[Browser, tuple[int, int]], site: tuple[str, list[str]]) -> None:
    page, (width, _) = browser
    if width == PHONE[0]:
        return
    page.scheme("dark")  # paper stays white
    page.open(f"{site[0]}/{name}.html")
    data = page.pdf()
    keep(f"{name}.pdf", data)
    assert data.startswith(b"%PDF-")
    pages = data.count(b"/Type /Page\n")
    assert 3 <= pages <= 14


def test_texts_of_strangers_stay_texts(browser: tuple[Browser, tuple[int, int]], site: tuple[str, list[str]]) -> None:
    page, _ = browser
    page.open(f"{site[0]}/hostile.html")
    text = page.run("return document.body.textContent")
    assert "<script>alert(1)</script>" in text
    assert not any(character in text for character in "\x1b\x07\u202e\u2066\x9b")
    assert page.run("return document.querySelectorAll('script').length") == 0
