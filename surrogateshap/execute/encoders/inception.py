"""Inception-v3 as FID is defined on it (Heusel et al. 2017, arXiv 1706.08500), through torch-fidelity.

Its weights are converted once, where they are trusted, to a file that can't run code:

    import torch, safetensors.torch
    weights = torch.load("weights-inception-2015-12-05-6726825d.pth", weights_only=True)
    safetensors.torch.save_file({name: w.contiguous() for name, w in weights.items()}, "inception.safetensors")
"""

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surrogateshap.errors import MissingExtraError
from surrogateshap.execute.encoders import View
from surrogateshap.execute.loading import not_loaded

_MODULE = "torch_fidelity.feature_extractor_inceptionv3"
_LAYERS = ("2048", "logits_unbiased")


class Inception:
    """Features are the 2,048 of the last pooling, probabilities those of the 1,008 classes, without their bias.

    Raises MissingExtraError without torch-fidelity, and RunError where its weights can't be loaded.
    """

    def __init__(self, source: Path, device: torch.device) -> None:
        try:
            made: Any = import_module(_MODULE).FeatureExtractorInceptionV3
        except ImportError as error:
            message = "Inception-v3 needs torch-fidelity, which is not installed or can't be imported"
            raise MissingExtraError(message, 'pip install "surrogateshap[fid]"') from error
        try:
            self._network: Any = _from_file(made, source)
        except Exception as error:  # torch-fidelity's errors have no common base
            remedy = "Name its weights as a safetensors file: see surrogateshap.execute.encoders.inception."
            raise not_loaded("encoder", source, error, remedy) from error
        self._network.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> View:
        """Features (N, 2048) and probabilities (N, 1008) of images (N, H, W, C) uint8."""
        pixels = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
        features, logits = self._network(pixels.contiguous())
        return View(features.float().cpu().numpy(), logits.float().softmax(dim=-1).cpu().numpy())


def _from_file(made: Any, source: Path) -> Any:
    """torch-fidelity reads files of its own format alone: it gets one that was just written from the tensors."""
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(load_file(source), path)
        return made("inception", list(_LAYERS), feature_extractor_weights_path=str(path))
