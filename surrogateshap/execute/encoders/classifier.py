"""Any image classifier in Hugging Face layout, as an encoder.

Features are what the last linear layer sees: captured at its input, so that no family needs a class of its own.
"""

from pathlib import Path

import numpy as np
import torch

from surrogateshap.errors import RunError
from surrogateshap.execute.encoders import View
from surrogateshap.execute.encoders.pretrained import Pretrained, shown_shape


class Classifier:
    """Raises RunError where the folder can't be loaded."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._inner = Pretrained("AutoModelForImageClassification", folder, device)
        heads = [module for module in self._inner.network.modules() if isinstance(module, torch.nn.Linear)]
        if not heads:
            raise RunError(f"the encoder in {folder.name} has no linear layer to take features from")
        self._seen: list[torch.Tensor] = []
        heads[-1].register_forward_pre_hook(lambda _, inputs: self._seen.append(inputs[0].detach()))

    def encode(self, images: np.ndarray) -> View:
        """Features (N, d) and probabilities (N, k) of images (N, H, W, C) uint8."""
        self._seen.clear()
        with self._inner.running(shown_shape(images)):
            logits = self._inner.network(pixel_values=self._inner.pixels(images)).logits
            features = self._seen[-1].flatten(1)
            return View(features.float().cpu().numpy(), logits.float().softmax(dim=-1).cpu().numpy())
