"""Encoders of every kind in runs: what utilities are given, stages and resuming, and the whole way to a ranking."""

import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file

from surrogateshap import api
from surrogateshap.errors import RunError, SpecError
from surrogateshap.events import Event, StageFinished, StageProgress
from surrogateshap.execute.backends.choose import open_backend
from surrogateshap.execute.beside import reference_images
from surrogateshap.execute.crew import Crew
from surrogateshap.execute.encoders.clip import Clip
from surrogateshap.execute.encoders.pixels import Pixels
from surrogateshap.execute.evaluate import Features, as_encoded
from surrogateshap.execute.fill import Filler
from surrogateshap.execute.images import decode
from surrogateshap.execute.progress import Progress
from surrogateshap.games import Encoded
from surrogateshap.games.encoded import Moments
from surrogateshap.plan.beside import own_keys
from surrogateshap.plan.build import build_plan
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.check_references import Reference
from surrogateshap.plan.compile import Compiled, GameDesign, compile_spec
from surrogateshap.plan.pool import Pool, build_pool, own_rows
from surrogateshap.store import Store
from tests import encoders
from tests.tiny import LABELS, SIDE, Project, game, rows, values

CPU = torch.device("cpu")
EYE = {"name": "eye", "source": "eye"}
CLIP = {"name": "clip", "kind": "clip", "source": "clip", "labels": {"light": ["bright", "dark"]}}
PIXELS = {"name": "pixels", "kind": "pixels", "size": 8}
BACKBONE = {"name": "dino", "kind": "backbone", "source": "dino"}
ENCODERS = [EYE, CLIP, PIXELS, BACKBONE]
RIGHT = {"name": "right", "kind": "score", "encoder": "eye"}
BRIGHT = {"name": "bright", "kind": "rate", "class": "bright", "encoder": "clip"}
TRUE = {"name": "true", "kind": "clip_score", "encoder": "clip"}
NICE = {"name": "nice", "kind": "aesthetic", "head": "head.safetensors", "encoder": "clip"}
NEAR = {"name": "near", "kind": "frechet", "reference": "stats.npz", "encoder": "dino"}
ALIKE = {"name": "alike", "kind": "frechet", "reference": "images", "encoder": "dino"}
OWN = {"name": "own", "kind": "own_image", "encoder": "pixels"}
BOTH = {
    "name": "both",
    "kind": "association",
    "between": [{"class": "three"}, {"class": "bright"}],
    "encoder": "eye",
    "second_encoder": "clip",
}
ALL = [RIGHT, BRIGHT, TRUE, NICE, NEAR, ALIKE, OWN, BOTH]
SMALL = {"proxy.kind": "prompt", "contributors.grouping": [{"name": "owner", "by": ["owner"]}]}


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, tiny_master: Path) -> Path:
    folder = tmp_path_factory.mktemp("with-nets")
    Project(tiny_master, folder)
    encoders.save_clip(folder / "clip")
    encoders.save_dinov2(folder / "dino")
    encoders.save_head(folder / "head.safetensors", 12)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 16))
    np.savez(folder / "stats.npz", mu=x.mean(axis=0), sigma=np.cov(x.T))
    (folder / "images").mkdir()
    for number, data in enumerate(rows()["image"]):
        (folder / "images" / f"{number:02}.png").write_bytes(data)
    return folder


@pytest.fixture
def project(master: Path, tmp_path: Path) -> Project:
    return Project(master, tmp_path / "project")


class Filled:
    """A project's pools, filled and encoded as a run does it, without its games."""

    def __init__(self, project: Project, utilities: list[dict[str, Any]], *, more: int = 0, **changes: Any) -> None:
        """`more` images than planned in each cell of each pool, as where a pool grows unevenly."""
        path = project.spec(SMALL | {"encoder": ENCODERS, "utility": utilities} | changes)
        self.compiled: Compiled = compile_spec(path)
        self.events: list[Event] = []
        with Store.open(project.store) as store:
            plan = build_plan(self.compiled, store)
            self.before = {stage.id: stage for stage in plan.stages}
            store.begin_run(plan.run, plan.name, plan.plan_id, "", "spec.toml", store.put_json({}))
            totals = {stage.id: stage.total for stage in plan.stages}
            progress = Progress(plan.run, store, self.events.append, threading.Event(), totals)
            stop = threading.Event()
            crew = Crew(partial(open_backend, self.compiled, store, print), stop)
            filler = Filler(self.compiled, store, crew, progress)
            for name in self.compiled.checked.encoders:
                filler.encode_references(name)
            filler.fill(self.compiled.pools, lambda _: None)
            if more:
                self.compiled = self.compiled.with_pools([self._grown(pool, more) for pool in self.compiled.pools])
                filler.fill(self.compiled.pools, lambda _: None)
            crew.close()
            self.after = {stage.id: stage for stage in build_plan(self.compiled, store).stages}
            self.seen = {}
            self.pixels = {}
            features = Features(self.compiled, store)
            for made in self.compiled.games:
                images = range(len(made.pool.keys))
                self.seen[made.utility.name] = features.seen(made, filler.found, images)
                places = [filler.found[key] for key in made.pool.keys]
                arrays = {name: store.get_arrays(name) for name in {place[0] for place in places}}
                self.pixels[made.utility.name] = np.stack(
                    [found["images"][slot] for name, slot in places if (found := arrays[name]) is not None]
                )

    def _grown(self, pool: Pool, more: int) -> Pool:
        assert pool.request is not None
        return build_pool(pool.request, self.compiled.checked.manifest, [pool.counts, pool.counts + more])

    def game(self, name: str) -> GameDesign:
        return next(made for made in self.compiled.games if made.utility.name == name)

    def encoded(self, name: str) -> Encoded:
        return self.seen[name][0]


def test_what_utilities_are_given(project: Project) -> None:
    filled = Filled(project, ALL)
    prompts = ("one", "three", "two", "zero")
    for name, (encoded, reference, second, head) in filled.seen.items():
        pool = filled.game(name).pool
        assert encoded.prompts == prompts
        assert encoded.asked is not None
        assert (encoded.asked == pool.conditions).all()
        assert (encoded.texts is not None) == (name == "true")
        assert (encoded.own is not None) == (name == "own")
        assert (second is not None) == (name == "both")
        assert bool(head) == (name == "nice")
        assert isinstance(reference, {"near": Moments, "alike": Encoded}.get(name, type(None)))
    folder, clip = project.folder, Clip(project.folder / "clip", CPU, ("bright", "dark"), (0, 0))
    view = clip.encode(filled.pixels["true"])
    true = filled.encoded("true")
    np.testing.assert_allclose(true.features, view.features, atol=1e-5)
    np.testing.assert_allclose(true.probabilities, view.probabilities, atol=1e-6)
    assert true.labels == ("bright", "dark")
    assert true.attributes == (0, 0)
    assert true.texts is not None
    np.testing.assert_allclose(true.texts, clip.encode_texts(prompts), atol=1e-6)
    second = filled.seen["both"][2]
    assert second is not None
    np.testing.assert_array_equal(second.probabilities, true.probabilities)
    assert filled.encoded("both").labels == LABELS
    head = filled.seen["nice"][3]
    weights = load_file(folder / "head.safetensors")
    assert [layer[0].shape for layer in head] == [(5, 12), (1, 5)]
    np.testing.assert_array_equal(head[0][1], weights["layers.2.bias"])
    np.testing.assert_array_equal(head[1][0], weights["layers.10.weight"])
    np.testing.assert_array_equal(head[1][1], [0.0])
    moments, images = filled.seen["near"][1], filled.seen["alike"][1]
    assert isinstance(moments, Moments)
    assert moments.covariance.shape == (16, 16)
    assert isinstance(images, Encoded)
    assert images.features.shape == (60, 16)
    assert images.labels == ()


@pytest.mark.parametrize("proxy", ["prompt", "image"])
def test_training_images_of_their_rows(project: Project, proxy: str) -> None:
    filled = Filled(project, [OWN], **{"proxy.kind": proxy})
    own, pool = filled.encoded("own").own, filled.game("own").pool
    assert own is not None
    stand_for = own_rows(pool, filled.compiled.checked.manifest, filled.compiled.spec.seed)
    pixels = Pixels(8, CPU)
    stored = rows()["image"]
    for row, features in zip(stand_for.tolist(), own, strict=True):
        if row < 0:
            assert np.isnan(features).all()
        else:
            image = decode(stored[row], SIDE, SIDE, 1, "")
            np.testing.assert_allclose(features, pixels.encode(image[None]).features[0], atol=1e-6)
    assert (stand_for < 0).sum() == (pool.conditions < 0).sum() > 0


@pytest.mark.parametrize("proxy", ["prompt", "image"])
def test_training_images_of_a_pool_that_grows_unevenly(project: Project, proxy: str) -> None:
    budget = {"images_per_contributor": 8, "stop_when": {"stable_top": 1}}
    planned = Filled(project, [OWN], **{"proxy.kind": proxy, "budget": budget})
    grown = Filled(project, [OWN], more=3, **{"proxy.kind": proxy, "budget": budget})
    own, before = grown.encoded("own").own, planned.encoded("own").own
    assert own is not None
    assert before is not None
    assert len(own) > len(before)
    np.testing.assert_array_equal(own[: len(before)], before)
    assert (np.isnan(own).any(axis=1) == (grown.game("own").pool.conditions < 0)).all()


def test_stages_count_what_is_encoded_once(project: Project) -> None:
    project.manifest(rows().with_columns(image=pl.col("image").first().over("owner", "label")))
    filled = Filled(project, ALL)
    named = {id_: (stage.total, stage.unit, stage.title) for id_, stage in filled.before.items() if "reference" in id_}
    distinct = named["reference:pixels"][0]
    assert named == {
        "reference:clip": (1, "inputs", "encode texts with clip"),
        "reference:pixels": (distinct, "inputs", "encode training images with pixels"),
        "reference:dino": (1, "references", "encode references with dino"),
    }
    assert 4 <= distinct <= 20
    assert {stage.state for id_, stage in filled.after.items() if id_.startswith(("reference", "encode"))} == {"cached"}
    done = {event.stage: event.done for event in filled.events if isinstance(event, StageProgress)}
    assert [done[id_] for id_ in named] == [total for total, _, _ in named.values()]
    again = Filled(project, ALL)
    closed = [event for event in again.events if isinstance(event, StageFinished)]
    assert {event.stage for event in closed} == {id_ for id_ in again.before if id_.startswith(("gen", "enc", "ref"))}
    assert all(event.cached for event in closed)
    for name, (encoded, *_) in filled.seen.items():
        np.testing.assert_array_equal(encoded.features, again.encoded(name).features)
    np.testing.assert_array_equal(filled.encoded("own").own, again.encoded("own").own)


def test_new_labels_encode_anew_and_generate_nothing(project: Project) -> None:
    Filled(project, [TRUE, OWN])
    dusk = CLIP | {"labels": {"light": ["bright", "dark"], "count": ["one", "two", "three"]}}
    filled = Filled(project, [TRUE, OWN], encoder=[dusk, PIXELS])
    states = {id_: stage.state for id_, stage in filled.before.items()}
    assert states["generate:prompt"] == states["encode:prompt:pixels"] == states["reference:pixels"] == "cached"
    assert states["encode:prompt:clip"] == states["reference:clip"] == "new"
    seen = filled.encoded("true")
    assert seen.attributes == (0, 0, 1, 1, 1)
    np.testing.assert_allclose(seen.probabilities[:, :2].sum(axis=1), 1)
    np.testing.assert_allclose(seen.probabilities.sum(axis=1), 2)


def test_damaged_training_images_are_encoded_again(project: Project) -> None:
    filled = Filled(project, [OWN])
    named = own_keys(filled.compiled, filled.game("own"))
    assert named is not None
    with Store.open(project.store) as store:
        found = {made for made, _ in store.find_images(named.values()).values()}
    damaged = [path for path in project.store.rglob("*.safetensors") if path.stem in found]
    assert len(damaged) == len(found) > 0
    for path in damaged:
        path.write_bytes(b"")
    again = Filled(project, [OWN])
    np.testing.assert_array_equal(filled.encoded("own").own, again.encoded("own").own)


def test_references_of_ten_thousand_images_at_most(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = Filled(project, [ALIKE])
    card = filled.compiled.checked.card
    reference = filled.game("alike").reference
    assert reference is not None
    whole = reference_images(card, reference)
    monkeypatch.setattr("surrogateshap.execute.beside.REFERENCE_AT_MOST", 5)
    np.testing.assert_array_equal(reference_images(card, reference), whole[[0, 15, 30, 44, 59]])
    manifest = filled.compiled.checked.manifest
    table = Reference(manifest.path, "", "image")
    np.testing.assert_array_equal(reference_images(card, table), whole[[0, 15, 30, 44, 59]])
    own = Reference(manifest.path, "", "image", manifest=manifest)
    np.testing.assert_array_equal(reference_images(card, own), whole[[0, 15, 30, 44, 59]])


def test_a_reference_that_is_no_image(project: Project) -> None:
    (project.folder / "images" / "30.png").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"30\.png is not an image"):
        Filled(project, [ALIKE])


def test_links_out_of_a_folder_are_not_followed(project: Project, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(rows()["image"][0])
    (project.folder / "images" / "99.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(SpecError, match="a link that leads out of the folder"):
        api.validate(project.spec({"encoder": ENCODERS, "utility": [ALIKE]}))


def test_probabilities_of_attributes_sum_to_their_number() -> None:
    encoder = EncoderInput("e", 0, None, "", ("a", "b", "c", "d"), 2, attributes=(0, 1, 0, 1))
    probabilities = np.array([[0.2, 0.3, 0.8, 0.701]], np.float32)
    seen = as_encoded(np.zeros((1, 2), np.float32), probabilities, np.array([-1]), encoder)
    np.testing.assert_allclose(seen.probabilities[:, [0, 2]].sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(seen.probabilities[:, [1, 3]].sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(seen.probabilities[0], [0.2, 0.2997, 0.8, 0.7003], atol=1e-4)


# From spec to ranking


@pytest.mark.parametrize("proxy", ["prompt", "image"])
def test_zero_shot_rates_and_distances_to_a_folder(project: Project, proxy: str) -> None:
    changes = SMALL | {"proxy.kind": proxy, "encoder": ENCODERS, "utility": [RIGHT, BRIGHT, ALIKE]}
    results = project.apply(changes)
    for name in ("right", "bright", "alike"):
        found = game(results, f"owner / {name} / {proxy}")
        assert sum(row.value for row in found.contributors) == pytest.approx(found.v_full - found.v_empty)
    assert 0 <= game(results, f"owner / bright / {proxy}").v_full <= 1
    assert project.apply(changes) == results


def test_every_utility_that_needs_more_than_the_pool(project: Project) -> None:
    changes = SMALL | {"encoder": ENCODERS, "utility": ALL}
    results = project.apply(changes)
    filled = Filled(project, ALL)
    for utility in ALL:
        found = game(results, f"owner / {utility['name']} / prompt")
        assert np.isfinite([row.value for row in found.contributors]).all()
        assert sum(row.value for row in found.contributors) == pytest.approx(found.v_full - found.v_empty)
    # The grand coalition's mean over images is that of its rows' conditions.
    seen, manifest = filled.encoded("true"), filled.compiled.checked.manifest
    assert seen.texts is not None
    assert seen.asked is not None
    unit, texts = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (seen.features, seen.texts))
    scores = np.maximum(100 * (unit * texts[np.maximum(seen.asked, 0)]).sum(axis=1), 0)
    share = np.bincount(manifest.condition_of_row) / manifest.rows
    wanted = sum(share[c] * scores[seen.asked == c].mean() for c in range(len(share)))
    assert game(results, "owner / true / prompt").v_full == pytest.approx(wanted)
    x = filled.encoded("nice").features
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    for weight, bias in filled.seen["nice"][3]:
        x = x @ weight.T + bias
    wanted = sum(share[c] * x[seen.asked == c, 0].mean() for c in range(len(share)))
    assert game(results, "owner / nice / prompt").v_full == pytest.approx(wanted)
    near = filled.encoded("own")
    assert near.own is not None
    distance = -((near.features - near.own) ** 2).sum(axis=1)
    wanted = sum(share[c] * distance[seen.asked == c].mean() for c in range(len(share)))
    assert game(results, "owner / own / prompt").v_full == pytest.approx(wanted)


def test_own_images_of_a_pool_that_grows(project: Project) -> None:
    changes = SMALL | {
        "encoder": [PIXELS],
        "utility": [OWN],
        "proxy.kind": "image",
        "budget": {"images_per_contributor": 40, "stop_when": {"interval_width": 1e-6}},
    }
    results = project.apply(changes)
    whole = project.apply(changes | {"budget": {"images_per_contributor": 40}})
    one, other = (values(each, "owner / own / image") for each in (results, whole))
    assert one.keys() == other.keys()


def test_retrained_models_are_seen_by_the_same_encoders(project: Project) -> None:
    trainer = "import shutil, sys\nout = sys.argv[2]\nshutil.copytree('model', out, dirs_exist_ok=True)\n"
    (project.folder / "train.py").write_text(trainer)
    command = ["{python}", "train.py", "{rows}", "{out}"]
    changes = SMALL | {"encoder": ENCODERS, "utility": ALL, "fidelity": {"trainer": command}}
    spec = project.spec(changes)
    folder = project.folder / "anchors"
    api.plan_anchors(str(spec), 2, folder)
    table = api.train_anchors(folder, spec=spec, allow_commands=True, images=16)
    frame = pl.read_parquet(table)
    for utility in ALL:
        assert np.isfinite(frame[f"value.{utility['name']}"].to_numpy()).all()
    before = table.read_bytes()
    assert api.train_anchors(folder, spec=spec, images=16).read_bytes() == before
