"""The image itself, scaled down, as features."""

import numpy as np
import torch

from surrogateshap.execute.encoders import View
from surrogateshap.execute.encoders.preprocessing import resize


class Pixels:
    """Features are the pixels of images scaled to size × size, from 0 to 1: rows, then columns, then channels."""

    def __init__(self, size: int, device: torch.device) -> None:
        self._size, self._device = size, device

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> View:
        """Features (N, size · size · C) of images (N, H, W, C) uint8, without probabilities."""
        pixels = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float()
        scaled = resize(pixels, (self._size, self._size)) / 255
        found = scaled.permute(0, 2, 3, 1).flatten(1).cpu().numpy()
        return View(np.ascontiguousarray(found), np.zeros((len(found), 0), np.float32))
