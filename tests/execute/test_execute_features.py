"""A pool's encoded images, put together from the store without a copy in memory; eigenvalues by torch."""

import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from surrogateshap.errors import RunError
from surrogateshap.execute.evaluate import Features, NotFiniteError
from surrogateshap.execute.spectra import TorchSolver, on_gpu
from surrogateshap.games.spectra import eigvalsh
from surrogateshap.plan import keys
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.store import Store

N, D, AT_ONCE = 4_096, 256, 128
EYE = EncoderInput("eye", 0, None, "digest", ("a", "b"), D, attributes=(0, 0))


def filled(store: Store, features: np.ndarray) -> tuple[Any, Any, dict[str, tuple[str, int]]]:
    """What `Features` needs, with images that lie in the objects in another order than in the pool."""
    order, found = np.random.default_rng(0).permutation(N), {}
    for number, at in enumerate(range(0, N, AT_ONCE)):
        images = order[at : at + AT_ONCE]
        arrays = {"features": features[images], "probabilities": np.full((len(images), 2), 0.25, np.float32)}
        store.remember(keys.encoding(EYE.digest, str(number)), store.put_arrays(arrays), "encode")
        found |= {str(image): (str(number), slot) for slot, image in enumerate(images.tolist())}
    pool = SimpleNamespace(id="prompt", keys=tuple(map(str, range(N))), conditions=np.arange(N) % 2)
    card = SimpleNamespace(label=lambda condition: condition)
    manifest = SimpleNamespace(conditions=("a", "b"))
    return SimpleNamespace(checked=SimpleNamespace(card=card, manifest=manifest)), pool, found


@pytest.mark.parametrize("in_file", [False, True])
def test_features_take_less_than_one_double_copy(
    in_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_file:
        monkeypatch.setattr("surrogateshap.games.spill.LARGE", 0)
    features = np.random.default_rng(1).normal(size=(N, D)).astype(np.float32)
    with Store.open(tmp_path) as store:
        compiled, pool, found = filled(store, features)
        read = Features(compiled, store)
        tracemalloc.start()
        encoded = read.of_pool(pool, EYE, found, range(N))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < N * D * (3 if in_file else 8)
        np.testing.assert_array_equal(encoded.features, features)
        assert encoded.features.dtype == np.float32
        assert (encoded.probabilities == 0.5).all()
        assert encoded.conditions.tolist() == [0, 1] * (N // 2)
        with pytest.raises(ValueError, match="read-only"):
            encoded.features[0] = 0
        assert read.of_pool(pool, EYE, found, range(N)) is encoded
        fewer = read.of_pool(pool, EYE, found, range(10))
        np.testing.assert_array_equal(fewer.features, features[:10])


def test_values_that_are_not_finite_and_objects_that_are_gone(tmp_path: Path) -> None:
    features = np.zeros((N, D), np.float32)
    features[N - 1, 3] = np.inf
    with Store.open(tmp_path) as store:
        compiled, pool, found = filled(store, features)
        with pytest.raises(NotFiniteError, match="not finite"):
            Features(compiled, store).of_pool(pool, EYE, found, range(N))
        for path in (tmp_path / "objects").rglob("*.safetensors"):
            path.unlink()
        with pytest.raises(RunError, match="missing or damaged"):
            Features(compiled, store).of_pool(pool, EYE, found, range(N))


def test_torch_finds_numpys_eigenvalues() -> None:
    x = np.random.default_rng(0).normal(size=(5, 40, 30))
    matrices = x.transpose(0, 2, 1) @ x
    np.testing.assert_allclose(TorchSolver("cpu")(matrices), np.linalg.eigvalsh(matrices), rtol=1e-11)
    with on_gpu(("cpu",)):
        np.testing.assert_array_equal(eigvalsh(matrices), np.linalg.eigvalsh(matrices))
