import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogateshap.report import Origin, ReportData, shown_names, to_html
from surrogateshap.text import harmless
from tests.samples import (
    HOSTILE,
    anchored_results,
    contributor,
    flags,
    game,
    golden,
    hostile_plan,
    hostile_results,
    paying_results,
    peaceful_plan,
    peaceful_results,
    sampled,
)

GOLDEN = Path(__file__).parent / "golden"
ORIGIN = Origin(
    files=(("results.json", "a" * 64),),
    versions=(("python", "3.12.1"),),
    commits=(("surrogateshap", "c" * 40),),
    devices=("cpu, float32, threads: 1",),
    batch_size=256,
)
VOID = {"meta", "link", "img", "br", "rect", "path", "circle"}
PAGES = {
    "peaceful": ReportData(peaceful_results(), peaceful_plan(), ORIGIN),
    "anchored": ReportData(anchored_results(), peaceful_plan(), ORIGIN),
    "paying": ReportData(paying_results()),
    "hostile": sampled(ReportData(hostile_results(), hostile_plan(), Origin(((HOSTILE[5], HOSTILE[1]),)))),
}


class Page(HTMLParser):
    """Elements and texts of a page; fails where elements don't nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID or (tag == "rect" and not self.get_starttag_text().endswith("/>")):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.found if found == tag]

    @property
    def text(self) -> str:
        return "".join(self.texts)


@pytest.mark.parametrize("name", PAGES)
def test_golden(name: str) -> None:
    text = to_html(PAGES[name])
    assert all(character.isprintable() or character == "\n" for character in text)
    golden(GOLDEN / f"{name}.html", text)


@pytest.mark.parametrize("name", PAGES)
def test_pages_hold_nothing_that_acts_or_asks(name: str) -> None:
    page = Page(to_html(PAGES[name]))
    tags = {tag for tag, _ in page.found}
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "form", "input", "base", "use", "image", "a:href"})
    for tag, attributes in page.found:
        assert not [key for key in attributes if key.startswith("on")]
        for key in ("src", "href", "srcset", "action", "style"):
            value = attributes.get(key)
            assert (
                value is None or value.startswith(("#", "data:image/png;base64,")) or (tag, value) == ("link", "data:,")
            )
    policy = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert "url(" not in to_html(PAGES[name])
    assert "@import" not in to_html(PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_pages_can_be_read_aloud(name: str) -> None:
    page = Page(to_html(PAGES[name]))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert all(one.get("scope") in ("row", "col") for one in page.all("th"))
    assert all(one.get("role") == "img" for one in page.all("svg"))
    assert len(page.all("title")) > len(page.all("svg")) > 0
    assert all(one["alt"] for one in page.all("img"))
    anchors = {one["href"] for one in page.all("a")}
    assert anchors <= {f"#{attributes['id']}" for _, attributes in page.found if "id" in attributes}
    identifiers = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_any_name_is_shown_as_text(name: str) -> None:
    games = (game((contributor(name, 1, 1.0, 0.5), contributor("b", 2, 0.5, 0.5)), indistinguishable=((name, "b"),)),)
    results = peaceful_results().model_copy(update={"name": name, "games": games, "flags": (flags(name, 1.0, name),)})
    before, page = Page(to_html(PAGES["peaceful"])), Page(to_html(ReportData(results)))
    assert {tag for tag, _ in page.found} <= {tag for tag, _ in before.found}
    assert page.text.count(harmless(name, 60)) >= 3


def test_a_crowd_is_cut_in_the_middle_and_says_so() -> None:
    many = tuple(contributor(f"c{i:05}", i + 1, 1 / (i + 1), 0.01) for i in range(10_000))
    loss = tuple(flags(one.name, 0.25, *(["odd"] if one.rank % 2 else [])) for one in many)
    games = (game(many, indistinguishable=tuple((f"a{i}", f"b{i}") for i in range(500))),)
    results = peaceful_results().model_copy(update={"games": games, "flags": loss})
    text = to_html(ReportData(results))
    assert len(text) < 120_000
    page = Page(text)
    names = re.findall(r"c\d{5}", page.text[page.text.index("Rankings") :])
    assert names[:25] == [f"c{i:05}" for i in range(25)]
    assert names[25:50] == [f"c{i:05}" for i in range(9_975, 10_000)]
    assert "9,950 contributors in between, not shown here" in page.text
    assert "surrogateshap show artists-0a1b2c --format csv" in page.text
    assert "and 492 more sets" in page.text
    assert "4,900 flagged contributors more and 4,995 contributors more without flags, not shown." in page.text
    assert Page(to_html(ReportData(results), top=3)).text.count("9,994 contributors in between") == 1
    assert len(shown_names(results, 3)["artist", "image"]) == 6


def test_sixty_are_shown_whole() -> None:
    sixty = tuple(contributor(f"c{i}", i + 1, 1 / (i + 1), 0.01) for i in range(60))
    for more, whole in (((), True), ((contributor("last", 61, 0.0, 0.01),), False)):
        results = peaceful_results().model_copy(update={"games": (game((*sixty, *more)),)})
        assert ("not shown here" not in to_html(ReportData(results))) == whole


def test_what_is_unknown_is_said_or_left_out() -> None:
    bare = Page(to_html(ReportData(peaceful_results()))).text
    assert "Not measured: no retrained coalition was compared with this game." in bare
    assert "The question" not in bare
    assert "Files of the record" not in bare
    assert "Sample images" not in bare
    told = Page(to_html(PAGES["anchored"])).text
    assert "0.92 [0.88, 0.95]" in told
    assert "Each dot is one of 12 coalitions" in told


def test_a_run_of_an_older_version_has_no_points() -> None:
    results = anchored_results()
    first, *rest = results.games
    assert first.fidelity is not None
    old = first.model_copy(update={"fidelity": first.fidelity.model_copy(update={"points": ()})})
    page = Page(to_html(ReportData(results.model_copy(update={"games": (old, *rest)}))))
    assert "Each dot is the mean of several coalitions" in page.text
    assert len([one for one in page.all("circle") if one["class"] == "point"]) == 2


@pytest.mark.parametrize(
    "record",
    [None, [], "x", {}, {"predicate": {}}, {"predicate": {"environment": []}, "subject": 3}, {"predicate": None}],
)
def test_records_of_another_form_say_nothing(record: object) -> None:
    assert Origin.of(record) is None


def test_an_origin_from_a_record() -> None:
    environment = {
        "versions": {"python": "3.12.1"},
        "devices": [{"device": "cpu", "dtype": "float32", "threads": 1}],
        "batch_size": 16,
        "code": {"commit": "c" * 40, "dirty": True},
        "project": None,
    }
    subject = [{"name": "results.json", "digest": {"sha256": "a" * 64}}]
    found = Origin.of({"subject": subject, "predicate": {"environment": environment}})
    assert found == Origin(
        files=(("results.json", "a" * 64),),
        versions=(("python", "3.12.1"),),
        commits=(("surrogateshap", f"{'c' * 40}, with changes"),),
        devices=("cpu, float32, threads: 1",),
        batch_size=16,
    )


def test_the_same_page_in_another_process() -> None:
    code = (
        "import sys; from tests.report.test_report_html import PAGES; from surrogateshap.report import to_html;"
        "sys.stdout.buffer.write(to_html(PAGES['hostile']).encode())"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
    assert done.stdout.decode() == to_html(PAGES["hostile"])
