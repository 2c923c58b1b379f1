import io
import re
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from surrogateshap import api
from surrogateshap.cli import main
from surrogateshap.errors import RunError
from surrogateshap.execute import samples
from surrogateshap.execute.images import png
from surrogateshap.report import ReportData, to_html
from surrogateshap.store import Store
from tests.samples import peaceful_results
from tests.tiny import OWNERS, SIDE, Project


def applied(tiny: Project) -> str:
    return tiny.apply({"budget.images_per_contributor": 4}).run


def test_images_are_those_that_a_contributor_rests_on(tiny: Project) -> None:
    run = applied(tiny)
    before = {path: path.stat().st_mtime_ns for path in tiny.store.rglob("*") if path.is_file()}
    data = api.report_data(run, store=tiny.store, images=3)
    assert {path: path.stat().st_mtime_ns for path in tiny.store.rglob("*") if path.is_file()} == before
    owners = [one for one in data.samples if (one.grouping, one.proxy) == ("owner", "image")]
    prompted = [one for one in data.samples if (one.grouping, one.proxy) == ("owner", "prompt")]
    assert sorted(one.contributor for one in owners) == sorted(OWNERS)
    assert {one.proxy for one in data.samples} == {"prompt", "image"}
    assert {one.grouping for one in data.samples} == {"owner", "region"}
    for one in data.samples:
        assert 1 <= len(one.images) <= 3
        assert len(set(one.images)) == len(one.images)
        for image in one.images:
            with Image.open(io.BytesIO(image)) as opened:
                assert (opened.format, opened.size) == ("PNG", (SIDE, SIDE))
    of_prompt = {one.contributor: one.images for one in prompted}
    assert of_prompt["basil"] == of_prompt["basil-copy"]  # the prompt proxy can't tell them apart
    of_image = {one.contributor: one.images for one in owners}
    assert of_image["basil"] != of_image["basil-copy"]


def test_a_page_of_a_run(tiny: Project, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    run = applied(tiny)
    assert main(["show", run, "--store", str(tiny.store), "--format", "html"]) == 0
    page = capsysbinary.readouterr().out
    assert b"<img" not in page
    assert str(tiny.folder).encode() not in page
    digests = re.findall(rb"[0-9a-f]{64}", page)
    assert len(digests) >= 8  # the plan's, the inputs' and the files'
    out = tiny.folder / "page.html"
    spec = tiny.folder / "spec.toml"
    assert (
        main(["show", str(spec), "--format", "html", "--images", "1", "-o", str(out), "--game", "owner / right"]) == 0
    )
    images = re.findall(rb'src="data:image/png;base64,([A-Za-z0-9+/=]+)"', out.read_bytes())
    assert len(images) == 2 * len(OWNERS)
    assert all(b64decode(one).startswith(b"\x89PNG") for one in images)
    data = api.report_data(run, store=tiny.store)
    assert to_html(data).encode() == page


def test_images_are_limited(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = applied(tiny)
    monkeypatch.setattr(samples, "MOST", 7)
    data = api.report_data(run, store=tiny.store, images=3, game="owner / right / image")
    assert [len(one.images) for one in data.samples] == [3, 3, 1]
    assert len(api.report_data(run, store=tiny.store, images=1, top=1, game="owner / right / image").samples) == 2


def test_images_of_coalitions_are_nobodys(tiny: Project) -> None:
    fresh = {"sampling.mode": "fresh", "budget": {"images_per_coalition": 4, "coalitions": 8}}
    run = tiny.apply({"proxy.kind": "prompt", **fresh}).run
    with pytest.raises(RunError, match="none for a contributor"):
        api.report_data(run, store=tiny.store, images=1)


def test_images_that_are_gone_are_told(tiny: Project) -> None:
    run = applied(tiny)
    for path in tiny.store.glob("objects/*/*.safetensors"):
        path.unlink()
    with pytest.raises(RunError, match="missing or damaged"):
        api.report_data(run, store=tiny.store, images=1)
    assert isinstance(api.report_data(run, store=tiny.store), ReportData)


def test_images_of_a_changed_spec_are_refused(tiny: Project) -> None:
    run = applied(tiny)
    tiny.spec({"seed": 99, "budget.images_per_contributor": 4})
    with pytest.raises(RunError, match="seed: 3 → 99"):
        api.report_data(run, store=tiny.store, images=1)


def test_large_images_are_scaled_down() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 600, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(png(noise, samples.SIDE))) as opened:
        assert opened.size == (96, 48)


def test_a_plan_of_another_version_is_left_out(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = applied(tiny)
    read = Store.get_json
    monkeypatch.setattr(Store, "get_json", lambda store, name: (read(store, name) or {}) | {"unheard": "of"})
    monkeypatch.setattr("surrogateshap.reporting.results_of", lambda opened, row: peaceful_results())
    data = api.report_data(run, store=tiny.store)
    assert data.plan is None
    assert data.origin is not None
    assert "The question" not in to_html(data)
