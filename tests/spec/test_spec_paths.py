"""No path leads where its reader didn't allow."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import surrogateshap
from surrogateshap.spec import paths
from surrogateshap.spec.paths import PathRefused, resolve


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("specs/model", "specs/deep", "elsewhere", "specs-too"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "specs/inside").symlink_to("model")
    (tmp_path / "specs/outside").symlink_to("../elsewhere")
    (tmp_path / "specs/loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("specs")
    return tmp_path.resolve()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("model", "specs/model"),
        ("./model/", "specs/model"),
        ("deep/../model", "specs/model"),
        ("inside", "specs/model"),
        ("not/there", "specs/not/there"),
        ("../specs/model", "specs/model"),
        (".", "specs"),
        ("…/ü", "specs/…/ü"),
    ],
)
def test_inside_the_folder(home: Path, source: str, found: str) -> None:
    assert resolve(source, home / "specs") == home / found
    assert resolve(source, home / "link") == home / found
    assert resolve(str(home / "specs" / source), home / "specs") == home / found


@pytest.mark.parametrize(
    "source", ["..", "../elsewhere", "../specs-too", "outside", "outside/x", "deep/../../elsewhere", "/etc/passwd"]
)
def test_outside_is_refused_unless_allowed(home: Path, source: str) -> None:
    with pytest.raises(PathRefused, match="outside the spec's folder") as refused:
        resolve(source, home / "specs", allow=[home / "specs" / "deep", home / "specs-"])
    assert "--allow-path DIR" in refused.value.remedy
    assert (
        resolve(source, home / "specs", allow=[Path("/nowhere"), Path("/")]) == Path(home / "specs" / source).resolve()
    )


def test_an_allowed_folder_may_be_a_link(home: Path) -> None:
    assert resolve("../specs/model", home / "elsewhere", allow=[home / "link"]) == home / "specs/model"


@pytest.mark.parametrize(
    ("source", "message", "remedy"),
    [
        ("", "empty", "relative to the spec"),
        ("  ", "empty", "relative to the spec"),
        ("a\0b", "null byte", "remove it"),
        ("~/model", "`~` is not expanded", "write the path out"),
        ("https://example.org/model", "nothing is downloaded", "save it beside the spec"),
        ("x" * 256, "longer than 255 bytes", "rename"),
        ("ü" * 128, "longer than 255 bytes", "rename"),
        ("\ud800", "not valid text", "rename"),
    ],
)
def test_unusable_paths(home: Path, source: str, message: str, remedy: str) -> None:
    with pytest.raises(PathRefused, match=message) as refused:
        resolve(source, home / "specs", allow=[Path("/")])
    assert remedy in refused.value.remedy
    assert str(refused.value) == f"{refused.value.message}; {refused.value.remedy}"


def test_a_loop_of_links_stays_inside(home: Path) -> None:
    assert resolve("loop/x", home / "specs").is_relative_to(home / "specs")


def test_examples_of_a_checkout(home: Path) -> None:
    root = Path(surrogateshap.__file__).resolve().parent.parent
    assert resolve("example:digits/model", home) == root / "examples" / "digits" / "model"


@pytest.fixture
def installed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that brings its examples along."""
    package = home / "site" / "surrogateshap"
    (package / "_examples" / "digits").mkdir(parents=True)
    (package / "_examples" / "leak").symlink_to(home / "elsewhere")
    monkeypatch.setattr(paths, "__file__", str(package / "spec" / "paths.py"))
    return package / "_examples"


def test_examples_of_an_installed_package(installed: Path, home: Path) -> None:
    assert resolve("example:digits/model", home) == installed / "digits" / "model"


@pytest.mark.parametrize(
    "source", ["example:", "example:..", "example:digits/../../x", "example:/etc/passwd", "example:leak/x", "example:."]
)
def test_examples_hold_nothing_else(installed: Path, home: Path, source: str) -> None:
    with pytest.raises(PathRefused, match="shipped examples") as refused:
        resolve(source, home, allow=[Path("/")])
    assert "example:digits/model" in refused.value.remedy


@given(
    st.lists(st.sampled_from(["..", ".", "a", "model", "", "example:", "~", " "]), max_size=8).map("/".join)
    | st.text(max_size=20)
)
def test_whatever_is_named_lies_inside(source: str) -> None:
    folder = Path("/nowhere/specs")
    try:
        found = resolve(source, folder)
    except PathRefused:
        return
    assert found.is_relative_to(folder) or found.is_relative_to(paths.examples_folder())


@pytest.mark.parametrize("source", ["runwayml/sd-v1.5", "a/b", "Owner_1/na.me-2"])
def test_what_is_not_there_may_be_on_the_hub(source: str, tmp_path: Path) -> None:
    assert paths.hub_id(source, tmp_path) == source
    (tmp_path / source).mkdir(parents=True)
    assert paths.hub_id(source, tmp_path) is None


@pytest.mark.parametrize(
    "source",
    [
        "model",
        "a/b/c",
        "../b",
        "./b",
        "a/..",
        "a/.b",
        "/a",
        "a/",
        "example:digits/model",
        "https://hf.co/a",
        "a/b.safetensors",
        "a/b.parquet",
        "a--b/c",
        "a/b..c",
        "a b/c",
        "ä/b",
        "a/b\n",
        "a/" + "b" * 200,
        "",
    ],
)
def test_paths_are_never_looked_for_on_the_hub(source: str, tmp_path: Path) -> None:
    assert paths.hub_id(source, tmp_path) is None
