"""Any vision model without classes in Hugging Face layout, such as DINOv2, as an encoder."""

from pathlib import Path

import numpy as np
import torch

from surrogateshap.execute.encoders import View
from surrogateshap.execute.encoders.pretrained import Pretrained, shown_shape

_CLASS_TOKENS = ("cls_token", "class_embedding")


class Backbone:
    """Features are the pooled output, else the class token, else the mean over places.

    Raises RunError where the folder can't be loaded.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        # Many are saved without the pooler that transformers gives them; then it would be random numbers.
        self._inner = Pretrained("AutoModel", folder, device, optional="pooler.")
        names = [name for name, _ in self._inner.network.named_parameters()]
        self._class_token = any(name.endswith(_CLASS_TOKENS) for name in names)

    def encode(self, images: np.ndarray) -> View:
        """Features (N, d) of images (N, H, W, C) uint8, without probabilities."""
        with self._inner.running(shown_shape(images)):
            output = self._inner.network(pixel_values=self._inner.pixels(images))
            features = getattr(output, "pooler_output", None)
            if features is None or self._inner.left_out:
                features = self._unpooled(output.last_hidden_state)
            found = features.flatten(1).float().cpu().numpy()
        return View(found, np.zeros((len(found), 0), np.float32))

    def _unpooled(self, hidden: torch.Tensor) -> torch.Tensor:
        """Of (N, places, d) or (N, d, height, width)."""
        if hidden.ndim == 4:
            return hidden.mean(dim=(2, 3))
        return hidden[:, 0] if self._class_token else hidden.mean(dim=1)
