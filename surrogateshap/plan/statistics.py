"""Stored statistics of reference features: `mu` (d,) and `sigma` (d, d), in a `.npz` or a safetensors file."""

import zipfile
from pathlib import Path

import numpy as np

from surrogateshap.games.encoded import Moments
from surrogateshap.plan.tensors import FLOATS, read_tensors

SUFFIXES = (".npz", ".safetensors")
_MOST = 16_384
"""Features."""


def read_dimension(path: Path) -> int:
    """Features of a file of statistics, from its headers alone. Raises ValueError that says what is wrong."""
    shapes = _npz_shapes(path) if path.suffix == ".npz" else _safetensors_shapes(path)
    missing = [name for name in ("mu", "sigma") if name not in shapes]
    if missing:
        raise ValueError(f"has no `{missing[0]}`; statistics are a mean `mu` and a covariance `sigma`")
    mean, covariance = shapes["mu"], shapes["sigma"]
    if len(mean) != 1 or not 1 <= mean[0] <= _MOST or covariance != (mean[0], mean[0]):
        raise ValueError(f"its `mu` has the shape {mean} and its `sigma` {covariance}, not (d,) and (d, d)")
    return mean[0]


def read_moments(path: Path) -> Moments:
    """The statistics themselves. Raises ValueError where they are none."""
    read_dimension(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                mean, covariance = arrays["mu"], arrays["sigma"]
        else:
            from safetensors.numpy import load_file

            arrays = load_file(path)
            mean, covariance = arrays["mu"], arrays["sigma"]
    except Exception as error:  # what zip, numpy and safetensors raise on strangers' bytes has no common base
        raise ValueError("can't be read: it looks damaged") from error
    mean, covariance = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError("holds numbers that are not finite")
    if not np.allclose(covariance, covariance.T, rtol=1e-4, atol=1e-6 * max(float(np.abs(covariance).max()), 1e-30)):
        raise ValueError("its `sigma` is not symmetric, so it is no covariance")
    return Moments(mean, (covariance + covariance.T) / 2)


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in ("mu", "sigma"):
                if f"{name}.npy" not in archive.namelist():
                    continue
                with archive.open(f"{name}.npy") as file:
                    version = np.lib.format.read_magic(file)
                    read = np.lib.format.read_array_header_1_0
                    if version != (1, 0):
                        read = np.lib.format.read_array_header_2_0
                    shape, _, dtype = read(file)
                    if dtype.kind not in "fiu":
                        raise ValueError(f"its `{name}` holds no numbers")
                    shapes[name] = shape
    except ValueError as error:
        if str(error).startswith("its "):
            raise
        raise ValueError("is not a .npz file of numbers") from None
    except Exception as error:  # zipfile's errors on strangers' bytes have no common base
        raise ValueError("is not a .npz file") from error
    return shapes


def _safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    tensors = read_tensors(path)
    for name in ("mu", "sigma"):
        if name in tensors and tensors[name].dtype not in FLOATS:
            raise ValueError(f"its `{name}` holds no floating-point numbers; save it as float64")
    return {name: tensor.shape for name, tensor in tensors.items()}
