"""What encoders in Hugging Face layout have in common: how they are loaded, and how they are run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surrogateshap.errors import RunError
from surrogateshap.execute.encoders.preprocessing import Preprocessing, preprocessing_of
from surrogateshap.execute.loading import not_loaded, refuse_partial
from surrogateshap.text import harmless


class Pretrained:
    """A frozen network of transformers, in float32, and its preprocessing. Raises RunError where it can't be loaded."""

    def __init__(self, auto: str, folder: Path, device: torch.device, optional: str | None = None) -> None:
        """`auto` is the name of the class that loads it; weights whose names begin with `optional` may be missing."""
        import transformers
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity(logging.CRITICAL)  # its reports print strangers' names as they are
        self.folder, self.device = folder, device
        try:
            loaded: Any = getattr(transformers, auto).from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
            self.network: Any = loaded[0]
            missing = set(loaded[1].get("missing_keys", ()))
            self.left_out = {key for key in missing if optional is not None and str(key).startswith(optional)}
            refuse_partial({**loaded[1], "missing_keys": missing - self.left_out})
            self.preprocess: Preprocessing = preprocessing_of(folder, self._channels())
        except Exception as error:  # what a stranger's config can break has no common base
            raise not_loaded("encoder", folder, error, "Save it with transformers.") from error
        self.network.to(device, torch.float32).eval().requires_grad_(False)

    def _channels(self) -> int:
        config = getattr(self.network.config, "vision_config", self.network.config)
        return int(getattr(config, "num_channels", 3))

    def pixels(self, images: np.ndarray) -> torch.Tensor:
        """Images (N, H, W, C) uint8 as the network takes them."""
        return self.preprocess(torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2))

    @contextmanager
    def running(self, what: str) -> Iterator[None]:
        """Raises RunError where the network can't take what it is given, such as images of another size."""
        try:
            with torch.inference_mode():
                yield
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # what a stranger's model raises has no common base
            reason = harmless(str(error).strip().partition("\n")[0]) or type(error).__name__
            message = f"the encoder in {harmless(self.folder.name)} can't take {what}: {reason}"
            raise RunError(message, "Check its config.json and its preprocessor_config.json.") from error


def shown_shape(images: np.ndarray) -> str:
    """Such as `images of 32 × 32 pixels`."""
    return f"images of {images.shape[1]} × {images.shape[2]} pixels"
