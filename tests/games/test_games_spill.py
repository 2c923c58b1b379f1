"""Utilities on features in files, in blocks: the same values as on arrays in memory, in double precision."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from pydantic import TypeAdapter

from surrogateshap.errors import RunError
from surrogateshap.games import Encoded, Membership, MixtureGame, make_utility
from surrogateshap.games.encoded import Floats, Views
from surrogateshap.games.spectra import eigvalsh, solved_by
from surrogateshap.games.spill import release, room, spill_to
from surrogateshap.spec.utilities import UtilitySection

N, D, CONTRIBUTORS = 90, 12, 6
LABELS = ("a", "b", "c")
KINDS: dict[str, dict[str, Any]] = {
    "mean": {"kind": "score"},
    "quantile": {"kind": "score", "statistic": {"quantile": 0.7}},
    "rate": {"kind": "rate", "class": 1},
    "aesthetic": {"kind": "aesthetic", "head": "head.safetensors"},
    "clip": {"kind": "clip_score"},
    "own": {"kind": "own_image"},
    "own, cosine": {"kind": "own_image", "metric": "cosine"},
    "frechet": {"kind": "frechet"},
    "kernel": {"kind": "kernel"},
    "gaussian": {"kind": "kernel", "kernel": {"gaussian": 10}},
    "inception": {"kind": "inception"},
    "pairwise": {"kind": "pairwise"},
    "cosine": {"kind": "pairwise", "metric": "cosine"},
    "vendi": {"kind": "vendi"},
    "clusters": {"kind": "cluster_entropy", "clusters": 4},
    "precision": {"kind": "precision"},
    "recall": {"kind": "recall"},
    "density": {"kind": "density"},
    "coverage": {"kind": "coverage"},
    "association": {"kind": "association", "between": ({"class": "a"}, {"conditions": ("a",)})},
}


def on_file(array: np.ndarray, path: Path) -> Views:
    np.save(path, array.astype(np.float32))
    return np.load(path, mmap_mode="r")


def view(images: int, seed: int) -> Encoded:
    """Numbers that single precision holds."""
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(images, D)) + 2).astype(np.float32).astype(np.float64)
    own = rng.normal(size=(images, D)).astype(np.float32).astype(np.float64)
    own[::7] = np.nan
    return Encoded(
        features,
        rng.dirichlet(np.ones(3), size=images),
        rng.integers(-1, 3, size=images),
        LABELS,
        asked=rng.integers(-1, 3, size=images),
        prompts=LABELS,
        texts=rng.normal(size=(3, D)),
        own=own,
    )


def game(kind: str, encoded: Encoded, reference: Encoded) -> MixtureGame:
    rng = np.random.default_rng(5)
    section = TypeAdapter(UtilitySection).validate_python({"name": "u", **KINDS[kind]})
    head = [(rng.normal(size=(4, D)), rng.normal(size=4)), (rng.normal(size=(1, 4)), np.zeros(1))]
    shares = rng.dirichlet(np.full(8, 0.5), size=CONTRIBUTORS)
    cells = np.arange(N) % 8
    membership = Membership(tuple("uvwxyz"), rng.integers(1, 50, CONTRIBUTORS), sp.csr_array(shares), cells)
    return MixtureGame(make_utility(section, encoded, reference, None, head), membership, 0.0)


def every() -> np.ndarray:
    return (np.arange(2**CONTRIBUTORS)[:, None] >> np.arange(CONTRIBUTORS) & 1).astype(bool)


@pytest.mark.parametrize("kind", KINDS)
def test_features_in_files_and_blocks_give_the_same_values(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, reference = view(N, 0), view(40, 1)
    plain = game(kind, encoded, reference)
    assert encoded.own is not None
    mapped = replace(
        encoded, features=on_file(encoded.features, tmp_path / "f.npy"), own=on_file(encoded.own, tmp_path / "o.npy")
    )
    target = replace(reference, features=on_file(reference.features, tmp_path / "r.npy"))
    values, moved = plain(every()), plain.resample(np.random.default_rng(0))
    resampled = plain.resampled(moved)(every())
    for block, large in ((1 << 22, 1 << 27), (100, 0)):
        monkeypatch.setattr("surrogateshap.games.utilities.base.BLOCK", block)
        monkeypatch.setattr("surrogateshap.games.mixture._CHUNK", block)
        for module in ("spill", "utilities.base"):
            monkeypatch.setattr(f"surrogateshap.games.{module}.LARGE", large)
        spill_to(tmp_path)
        other = game(kind, mapped, target)
        np.testing.assert_allclose(other(every()), values, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(other.resampled(moved)(every()), resampled, rtol=1e-9, atol=1e-12)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}


def test_large_arrays_outlive_their_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surrogateshap.games.spill.LARGE", 1_000)
    spill_to(tmp_path)
    for shape in ((3, 5), (40, 50)):
        array = room(shape)
        assert type(array) is np.ndarray
        assert not array.any()
        array[1:, 2] = 7.0
        release(array[:, 1:])
        assert array.sum() == 7 * (len(array) - 1)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("surrogateshap.games.spill.os.posix_fallocate", full, raising=False)
    monkeypatch.setattr("surrogateshap.games.spill.LARGE", 0)
    spill_to(tmp_path)
    with pytest.raises(RunError, match=r"no room for .* GB of temporary numbers: No space left"):
        room((4, 4))


def test_only_large_matrices_go_elsewhere() -> None:
    seen = []

    def solver(matrices: Floats) -> Floats:
        seen.append(matrices.shape)
        return np.zeros(matrices.shape[:2])

    matrices = np.stack([np.diag([1.0, 2.0, 3.0])] * 2)
    with solved_by(solver, 3):
        assert eigvalsh(matrices[:, :2, :2]).tolist() == [[1, 2], [1, 2]]
        assert not eigvalsh(matrices).any()
    assert eigvalsh(matrices).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert seen == [(2, 3, 3)]
