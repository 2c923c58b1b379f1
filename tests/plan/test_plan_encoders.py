"""Encoders, references and heads in the plan: what counts in their keys, and what is wrong with them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from surrogateshap import api
from surrogateshap.errors import SpecError
from surrogateshap.plan import check_encoders
from surrogateshap.plan.beside import beside, own_keys, reference_key
from surrogateshap.plan.check import check_spec
from surrogateshap.plan.compile import Compiled, GameDesign, compile_spec
from surrogateshap.plan.heads import head_inputs, layer_names
from surrogateshap.plan.pool import own_rows
from surrogateshap.plan.statistics import read_dimension, read_moments
from surrogateshap.plan.tensors import read_tensors
from tests import encoders
from tests.tiny import LABELS, SPEC, Project, rows

EYE = {"name": "eye", "source": "eye"}
CLIP: dict[str, Any] = {"name": "clip", "kind": "clip", "source": "clip"}
PIXELS: dict[str, Any] = {"name": "pixels", "kind": "pixels", "size": 8}
BACKBONE = {"name": "dino", "kind": "backbone", "source": "dino"}
OWN = {"name": "own", "kind": "own_image"}


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets")
    encoders.save_clip(folder / "clip")
    encoders.save_dinov2(folder / "dino")
    encoders.save_lpips(folder / "lpips.safetensors")
    encoders.save_head(folder / "head.safetensors", 12)
    return folder


@pytest.fixture
def project(tiny: Project, nets: Path) -> Project:
    for path in nets.iterdir():
        (tiny.folder / path.name).symlink_to(path, target_is_directory=path.is_dir())
    return tiny


def compiled(project: Project, encoder: dict[str, Any], utility: dict[str, Any], **more: Any) -> Compiled:
    changes = {"encoder": [encoder], "utility": [utility], "proxy.kind": "image"} | more
    return compile_spec(project.spec(changes), [Path("/")])


def first(made: Compiled) -> GameDesign:
    return made.games[0]


def problems(project: Project, changes: dict[str, Any]) -> dict[str, tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        api.validate(project.spec(changes), allow_paths=[Path("/")])
    found = {problem.key: (problem.message, problem.remedy) for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)
    return found


# Keys


def test_what_a_view_depends_on(project: Project) -> None:
    score = {"name": "sure", "kind": "score", "score": {"class": "bright"}}
    labelled = CLIP | {"labels": {"light": ["bright", "dark"], "number": ["one", "two"]}}
    seen = [
        first(compiled(project, encoder, utility)).encoder
        for encoder, utility in (
            (EYE, {"name": "sure", "kind": "score"}),
            (CLIP, {"name": "far", "kind": "pairwise"}),
            (labelled, score),
            (CLIP | {"labels": {"light": ["bright", "dark"]}}, score),
            (CLIP | {"labels": {"light": ["dark", "bright"]}}, score),
            (CLIP | {"labels": {"light": ["bright", "dark", "one", "two"]}}, score),
            (PIXELS, OWN),
            (PIXELS | {"size": 16}, OWN),
            (BACKBONE, OWN),
        )
    ]
    assert len({encoder.digest for encoder in seen}) == len(seen)
    assert first(compiled(project, labelled | {"name": "other"}, score)).encoder.digest == seen[2].digest
    assert seen[2].labels == ("bright", "dark", "one", "two")
    assert seen[2].attributes == (0, 0, 1, 1)
    assert [encoder.features for encoder in seen] == [12, 12, 12, 12, 12, 12, 64, 256, 16]


def test_every_setting_changes_the_plan(project: Project) -> None:
    score = {"name": "sure", "kind": "score", "score": {"class": 0}}
    plans = [
        compiled(project, encoder, score).plan_id
        for encoder in (
            EYE,
            CLIP | {"labels": {"light": ["bright", "dark"], "number": ["one", "two"]}},
            CLIP | {"labels": {"number": ["one", "two"], "light": ["bright", "dark"]}},
            CLIP | {"labels": {"light": ["dark", "bright"]}},
        )
    ]
    plans += [compiled(project, PIXELS | {"size": size}, OWN).plan_id for size in (8, 16)]
    aesthetic = {"name": "nice", "kind": "aesthetic", "head": "head.safetensors"}
    before = compiled(project, CLIP, aesthetic)
    (project.folder / "same.safetensors").write_bytes((project.folder / "head.safetensors").read_bytes())
    assert compiled(project, CLIP, aesthetic | {"head": "same.safetensors"}).plan_id == before.plan_id
    encoders.save_head(project.folder / "same.safetensors", 12, hidden=6)
    after = compiled(project, CLIP, aesthetic | {"head": "same.safetensors"})
    assert beside(after, first(after))["head"] != beside(before, first(before))["head"]
    plans += [before.plan_id, after.plan_id]
    assert len(set(plans)) == len(plans)


def test_keys_of_what_stands_beside(project: Project) -> None:
    def keys_of(encoder: dict[str, Any], utility: dict[str, Any], **more: Any) -> dict[str, Any]:
        made = compiled(project, encoder, utility, **more)
        return {"reference": reference_key(made, first(made)), **beside(made, first(made))}

    prompts = {"proxy.kind": "prompt"}
    texts = keys_of(CLIP, {"name": "true", "kind": "clip_score"})
    assert [name for name, key in texts.items() if key is not None] == ["texts"]
    assert keys_of(CLIP, {"name": "true", "kind": "clip_score", "statistic": {"above": 20.0}}) == texts
    own = keys_of(PIXELS, OWN)
    assert [name for name, key in own.items() if key is not None] == ["own"]
    assert keys_of(PIXELS, OWN, **prompts)["own"] != own["own"]
    assert keys_of(PIXELS, OWN, **prompts) != keys_of(PIXELS, OWN, **prompts, seed=9)
    frame = rows()
    project.manifest(frame.with_columns(label=pl.when(pl.col("label") == "three").then(pl.lit("3")).otherwise("label")))
    assert keys_of(CLIP, {"name": "true", "kind": "clip_score"})["texts"] != texts["texts"]
    project.manifest(frame.with_columns(image=pl.col("image").reverse()))
    assert keys_of(PIXELS, OWN)["own"] != own["own"]


def test_training_images_are_named_by_what_they_show(project: Project) -> None:
    frame = rows()
    project.manifest(frame.with_columns(image=pl.col("image").first().over("label")))
    made = compiled(project, PIXELS, OWN)
    named = own_keys(made, first(made))
    assert named is not None
    assert len(set(named.values())) == len(LABELS)
    assert api.plan(project.spec({"encoder": [PIXELS], "utility": [OWN]})).stages[4].total == len(LABELS)


def test_the_row_that_an_image_stands_for(project: Project) -> None:
    for proxy in ("image", "prompt"):
        made = compiled(project, EYE, {"name": "sure", "kind": "score"}, **{"proxy.kind": proxy})
        (pool,), manifest = made.pools, made.checked.manifest
        found = own_rows(pool, manifest, made.spec.seed)
        assert ((found < 0) == (pool.conditions < 0)).all()
        there = found >= 0
        assert (manifest.condition_of_row[found[there]] == pool.conditions[there]).all()
        if proxy == "image":
            assert (found == pool.rows).all()
        for condition in range(len(LABELS)):
            used = found[pool.conditions == condition]
            held = int((manifest.condition_of_row == condition).sum())
            turns = np.bincount(used, minlength=manifest.rows)[manifest.condition_of_row == condition]
            assert proxy == "image" or turns.max() - turns.min() <= 1
            assert proxy == "image" or len(set(used[:held].tolist())) == min(held, len(used))
    few = np.flatnonzero(manifest.condition_of_row == 2)[:3]
    assert set(own_rows(pool, manifest, 3, few).tolist()) == {-1, *few.tolist()}


def test_fresh_images_stand_for_the_row_that_was_drawn(project: Project) -> None:
    fresh = {"sampling.mode": "fresh", "budget": {"coalitions": 8, "images_per_coalition": 6}, "proxy.kind": "prompt"}
    made = compiled(project, PIXELS, OWN, **fresh)
    for pool in made.pools:
        found = own_rows(pool, made.checked.manifest, made.spec.seed)
        group = next(group for group in made.checked.manifest.groupings if group.name == pool.grouping)
        assert pool.masks is not None
        for image, row in enumerate(found.tolist()):
            assert row == -1 or pool.masks[pool.cell_of_image[image]][group.of_row[row]]


def test_references_of_every_kind(project: Project) -> None:
    (project.folder / "images" / "more").mkdir(parents=True)
    for number, data in enumerate(rows()["image"].head(6)):
        (project.folder / "images" / ("more" if number % 2 else ".") / f"{number}.PNG").write_bytes(data)
    np.savez(project.folder / "stats.npz", mu=np.zeros(12), sigma=np.eye(12))
    save_file({"mu": np.zeros(12), "sigma": np.eye(12)}, project.folder / "stats.safetensors")
    rows().reverse().write_parquet(project.folder / "other.parquet")
    found, plans = [], []
    for name in ("manifest", "other.parquet", "images", "stats.npz", "stats.safetensors"):
        made = compiled(project, EYE, {"name": "near", "kind": "frechet", "reference": name})
        reference = first(made).reference
        assert reference is not None
        encoded = reference_key(made, first(made))
        statistics = beside(made, first(made))["statistics"]
        assert (encoded is None) == name.startswith("stats") == (statistics is not None)
        found.append(encoded or statistics)
        plans.append(made.plan_id)
    assert len(set(found)) == len(found)
    assert len(set(plans)) == len(plans)


# Problems


def test_which_utility_needs_which_encoder(project: Project) -> None:
    np.savez(project.folder / "stats.npz", mu=np.zeros(5), sigma=np.eye(5))
    labelled = CLIP | {"name": "both", "labels": {"light": ["bright", "dark"], "number": ["one", "two"]}}
    lpips = {"name": "lpips", "kind": "lpips", "source": "lpips.safetensors"}
    association = {"kind": "association", "between": [{"class": "bright"}, {"conditions": ["three", "four"]}]}
    wanted = [
        ({"kind": "score", "encoder": "pixels"}, "encoder", "`score` needs classes", "classifier"),
        ({"kind": "score", "encoder": "both"}, "encoder", "needs classes of one attribute", "alone"),
        ({"kind": "inception", "encoder": "both"}, "encoder", "needs classes of one attribute", "alone"),
        ({"kind": "rate", "class": "sunny", "encoder": "both"}, "class", "no class sunny", "bright, dark, one, two"),
        ({"kind": "rate", "class": 1, "encoder": "clip"}, "encoder", "`rate` needs classes", "labels"),
        ({"kind": "clip_score", "encoder": "eye"}, "encoder", "features of CLIP", "clip"),
        ({"kind": "aesthetic", "head": "head.safetensors", "encoder": "dino"}, "encoder", "features of CLIP", "clip"),
        ({"kind": "ms_ssim", "encoder": "eye"}, "encoder", "`ms_ssim` needs pixels", "pixels"),
        ({"kind": "ms_ssim", "encoder": "pixels"}, "encoder", "at least 11 × 11", "size = 64"),
        (association | {"encoder": "both"}, "between", "no row of the manifest has the condition four", "three, two"),
        (
            {"kind": "association", "between": [{"class": "three"}, {"class": 0}], "encoder": "eye"}
            | {"second_encoder": "pixels"},
            "second_encoder",
            "encoder `pixels` has none",
            "classifier",
        ),
        (
            {"kind": "association", "between": [{"class": "three"}, {"class": "rainy"}], "encoder": "eye"}
            | {"second_encoder": "both"},
            "between",
            "encoder `both` has no class rainy",
            "bright",
        ),
        (
            {"kind": "frechet", "reference": "stats.npz", "encoder": "clip"},
            "reference",
            "statistics of 5 features, and the encoder gives 12",
            "",
        ),
        ({"kind": "kernel", "reference": "stats.npz", "encoder": "clip"}, "reference", "only a Fréchet distance", ""),
        ({"kind": "pairwise", "encoder": "lpips"}, "", "", ""),
        ({"kind": "own_image", "encoder": "pixels"}, "", "", ""),
        ({"kind": "rate", "class": "two", "encoder": "both"}, "", "", ""),
        (association | {"between": [{"conditions": ["one"]}, {"conditions": ["two"]}], "encoder": "clip"}, "", "", ""),
    ]
    utilities = [utility | {"name": f"u{at}"} for at, (utility, *_) in enumerate(wanted)]
    found = problems(project, {"encoder": [EYE, CLIP, labelled, PIXELS, BACKBONE, lpips], "utility": utilities})
    expected = {f"utility[{at}].{key}": words for at, (_, key, *words) in enumerate(wanted) if key}
    # The backbone's 16 features don't fit the head either.
    assert found.pop("utility[6].head")[1].endswith("encoder `dino`, which gives 16.")
    assert found.keys() == expected.keys()
    for key, (message, remedy) in expected.items():
        assert message in found[key][0], key
        assert remedy in found[key][1], key


def test_keys_that_a_kind_needs_or_has_no_use_for(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_encoders, "find_spec", lambda name: np)
    bad: list[tuple[dict[str, Any], str, str]] = [
        ({"kind": "clip"}, "source", "is missing"),
        ({"kind": "lpips"}, "source", "a safetensors file"),
        ({"kind": "inception"}, "source", "a safetensors file"),
        ({}, "source", "a folder in Hugging Face layout"),
        ({"kind": "pixels", "source": "eye"}, "source", "has none"),
        ({"kind": "plugin"}, "plugin", "is missing"),
        ({"source": "eye", "labels": {"a": ["x", "y"]}}, "labels", 'only for encoders of the kind "clip"'),
        ({"source": "eye", "size": 8}, "size", 'only for encoders of the kind "pixels"'),
        ({"source": "eye", "options": {"x": 1}}, "options", 'only for encoders of the kind "plugin"'),
        ({"kind": "clip", "source": "clip", "labels": {"a": ["x"]}}, "labels.a", "needs a choice"),
        ({"kind": "clip", "source": "clip", "labels": {"a": ["x", "y"], "b": ["z", "y"]}}, "labels.b", "given twice"),
        ({"kind": "pixels", "revision": "main"}, "revision", "counts only where"),
    ]
    listed = [{"name": f"e{at}", **encoder} for at, (encoder, _, _) in enumerate(bad)]
    utility = [{"name": "far", "kind": "pairwise", "encoder": "e4"}]
    found = problems(project, {"encoder": listed, "utility": utility})
    expected = {f"encoder[{at}].{key}": message for at, (_, key, message) in enumerate(bad)}
    assert found.keys() == expected.keys()
    for key, message in expected.items():
        assert message in found[key][0]


def test_second_encoders(project: Project) -> None:
    association = {"kind": "association", "between": [{"class": "three"}, {"conditions": ["one"]}], "encoder": "eye"}
    utilities = [
        association | {"name": "a", "second_encoder": "pixels"},
        association | {"name": "b", "between": [{"class": 1}, {"class": 2}], "second_encoder": "pixel"},
    ]
    found = problems(project, {"encoder": [EYE, PIXELS], "utility": utilities})
    assert "sees nothing" in found["utility[0].second_encoder"][0]
    assert "did you mean `pixels`?" in found["utility[1].second_encoder"][1]


def test_files_that_are_not_what_they_should_be(project: Project) -> None:
    folder = project.folder
    (folder / "empty").mkdir()
    save_file({"a.weight": np.zeros((1, 12), np.float32)}, folder / "small.safetensors")
    (folder / "words").mkdir()
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (folder / "words" / name).write_bytes((folder / "clip" / name).read_bytes())
    listed = [
        {"name": "a", "kind": "clip", "source": "dino"},
        {"name": "b", "kind": "backbone", "source": "clip"},
        {"name": "c", "kind": "lpips", "source": "small.safetensors"},
        {"name": "d", "kind": "clip", "source": "words"},
        {"name": "e", "kind": "lpips", "source": "eye/config.json"},
        EYE,
        CLIP,
    ]
    utilities = [
        {"name": "u", "kind": "frechet", "reference": "empty", "encoder": "eye"},
        {"name": "v", "kind": "aesthetic", "head": "lpips.safetensors", "encoder": "clip"},
        {"name": "w", "kind": "aesthetic", "head": "eye/config.json", "encoder": "clip"},
        {"name": "x", "kind": "coverage", "reference": "nowhere", "encoder": "clip"},
    ]
    found = problems(project, {"encoder": listed, "utility": utilities})
    assert {key: message for key, (message, _) in found.items()} == {
        "encoder[0].source": '`dino` holds no model of images and texts, such as CLIP: write `kind = "backbone"`',
        "encoder[1].source": '`clip` holds a model of images and texts: write `kind = "clip"`',
        "encoder[2].source": "`small.safetensors` has no `features.0.weight`",
        "encoder[3].source": "`words` has no tokenizer; save the model's own beside it with transformers",
        "encoder[4].source": "`eye/config.json` is not a safetensors file",
        "utility[0].reference": "`empty` holds no images: it needs files that end in .png, .jpg, .jpeg, .webp",
        "utility[1].head": "`lpips.safetensors` holds `lin0`, which is no layer's weight or bias",
        "utility[2].head": "`eye/config.json` is not a safetensors file",
        "utility[3].reference": "`nowhere` does not exist",
    }


def test_a_missing_extra_is_told_by_the_plan(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    inception = {"name": "fid", "kind": "inception", "source": "weights.safetensors"}
    save_file({"fc.weight": np.zeros((1008, 2048), np.float32)}, project.folder / "weights.safetensors")
    changes = {"encoder": [inception], "utility": [{"name": "near", "kind": "frechet"}]}
    monkeypatch.setattr(check_encoders, "find_spec", lambda name: None if name == "torchvision" else np)
    found = problems(project, changes)
    assert found == {
        "encoder[0].kind": (
            "`inception` needs torch-fidelity, which is not installed",
            'pip install "surrogateshap[fid]"',
        )
    }
    monkeypatch.setattr(check_encoders, "find_spec", lambda name: np)
    (encoder,) = check_spec(project.spec(changes)).encoders.values()
    assert (encoder.features, len(encoder.labels)) == (2048, 1008)
    save_file({"fc.weight": np.zeros((1000, 2048), np.float32)}, project.folder / "weights.safetensors")
    assert "(1000, 2048), not (1008, 2048)" in problems(project, changes)["encoder[0].source"][0]


def test_utilities_that_need_the_manifests_images(project: Project) -> None:
    contributors = {key: value for key, value in SPEC["contributors"].items() if key != "image"}
    np.savez(project.folder / "stats.npz", mu=np.zeros(12), sigma=np.eye(12))
    utilities = [
        OWN | {"encoder": "pixels"},
        {"name": "f", "kind": "frechet", "encoder": "eye", "reference": "stats.npz"},
    ]
    changes = {"encoder": [PIXELS, EYE], "contributors": contributors, "proxy.kind": "prompt"}
    found = problems(project, changes | {"utility": utilities})
    assert set(found) == {"utility[0].kind"}
    api.validate(project.spec(changes | {"utility": utilities[1:]}))


# Files


def test_layers_are_applied_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = encoders.save_head(tmp_path / "head.safetensors", 12)
    assert layer_names(path) == ("layers.2", "layers.10")
    assert head_inputs(path) == 12


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds no layers"),
        ({"a.weight": np.zeros((1, 3)), "b": np.zeros(1)}, "holds `b`"),
        ({"a.weight": np.zeros(3)}, "not (outputs, inputs)"),
        (
            {"a.weight": np.zeros((2, 3)), "b.weight": np.zeros((1, 3))},
            "takes 3 numbers, and the layer before it gives",
        ),
        ({"a.weight": np.zeros((2, 3))}, "ends in 2 numbers"),
        ({"a.weight": np.zeros((1, 3)), "a.bias": np.zeros(2)}, "has the shape (2,), not (1,)"),
        ({"a.weight": np.zeros((1, 3), np.int64)}, "is no float32"),
    ],
)
def test_heads_that_are_none(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    save_file(arrays, tmp_path / "head.safetensors")
    with pytest.raises(ValueError, match=r"\w") as error:
        head_inputs(tmp_path / "head.safetensors")
    assert message in str(error.value)


def test_statistics(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4))
    mean, covariance = x.mean(axis=0), np.cov(x.T)
    np.savez(tmp_path / "a.npz", mu=mean, sigma=covariance)
    np.savez_compressed(tmp_path / "b.npz", mu=mean.astype(np.float32), sigma=np.asfortranarray(covariance))
    save_file({"mu": mean, "sigma": covariance}, tmp_path / "c.safetensors")
    for name in ("a.npz", "b.npz", "c.safetensors"):
        assert read_dimension(tmp_path / name) == 4
        moments = read_moments(tmp_path / name)
        np.testing.assert_allclose(moments.mean, mean, rtol=1e-5)
        np.testing.assert_allclose(moments.covariance, covariance, rtol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.zeros(3)}, "has no `sigma`"),
        ({"mu": np.zeros(3), "sigma": np.eye(4)}, "not (d,) and (d, d)"),
        ({"mu": np.zeros((3, 1)), "sigma": np.eye(3)}, "not (d,) and (d, d)"),
        ({"mu": np.array([None] * 3), "sigma": np.eye(3)}, "its `mu` holds no numbers"),
        ({"mu": np.array([0, np.nan]), "sigma": np.eye(2)}, "not finite"),
        ({"mu": np.zeros(2), "sigma": np.array([[1.0, 0.5], [0.1, 1.0]])}, "not symmetric"),
    ],
)
def test_statistics_that_are_none(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=r"\w") as error:
        read_moments(tmp_path / "a.npz")
    assert message in str(error.value)


@pytest.mark.parametrize("data", [b"", b"nothing", b"PK\x03\x04" + b"\0" * 40, b"\x02\0\0\0\0\0\0\0[]"])
def test_damaged_files(tmp_path: Path, data: bytes) -> None:
    for name in ("a.npz", "a.safetensors"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match="is not a "):
            read_dimension(tmp_path / name)


def test_headers_are_those_of_the_library(tmp_path: Path) -> None:
    path = encoders.save_lpips(tmp_path / "lpips.safetensors")
    found = {name: tensor.shape for name, tensor in read_tensors(path).items()}
    assert found == {name: tuple(value.shape) for name, value in load_file(path).items()}
