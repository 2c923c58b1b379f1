"""Eigenvalues on a GPU."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from surrogateshap.games.encoded import Floats
from surrogateshap.games.spectra import solved_by

LEAST = 256
"""Rows from which matrices are worth their way to a GPU."""


def on_gpu(devices: Sequence[str], least: int = LEAST) -> AbstractContextManager[None]:
    """Inside, eigenvalues of matrices with `least` rows or more are found on the first CUDA device, if there is one."""
    gpu = next((device for device in devices if device.startswith("cuda")), None)
    return nullcontext() if gpu is None else solved_by(TorchSolver(gpu), least)


class TorchSolver:
    """Torch's eigenvalues of symmetric matrices, in double precision; numpy's where memory is too small."""

    def __init__(self, device: str) -> None:
        self._device = device

    def __call__(self, matrices: Floats) -> Floats:
        """(M, d) of matrices (M, d, d), ascending."""
        import torch

        try:
            found = torch.linalg.eigvalsh(torch.from_numpy(matrices).to(self._device, torch.float64))
            return np.asarray(found.cpu().numpy())
        except torch.OutOfMemoryError:
            return np.asarray(np.linalg.eigvalsh(matrices))
