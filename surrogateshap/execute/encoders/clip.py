"""CLIP (Radford et al. 2021, arXiv 2103.00020) and its kin, such as SigLIP, as an encoder of images and texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from surrogateshap.errors import RunError
from surrogateshap.execute.encoders import View
from surrogateshap.execute.encoders.pretrained import Pretrained, shown_shape
from surrogateshap.execute.loading import not_loaded

_TEXTS_AT_ONCE = 256
_LONGEST = 512
"""Tokens, where neither the model nor its tokenizer says."""


class Clip:
    """Features are the projected ones, which texts share.

    `labels` are told apart without training, within each of their `attributes`: probabilities are the softmax of
    logit_scale × cosine (section 3.1.2). Raises RunError where the folder can't be loaded.
    """

    def __init__(
        self, folder: Path, device: torch.device, labels: Sequence[str] = (), attributes: Sequence[int] = ()
    ) -> None:
        from transformers import AutoTokenizer

        self._inner = Pretrained("AutoModel", folder, device)
        try:
            for method in ("get_image_features", "get_text_features"):
                getattr(self._inner.network, method)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            if self._tokenizer.pad_token is None:
                self._tokenizer.pad_token = self._tokenizer.eos_token
        except Exception as error:  # what a stranger's files can break has no common base
            raise not_loaded("encoder", folder, error, "Save the model and its tokenizer with transformers.") from error
        config = self._inner.network.config
        # It was trained on texts padded to one length, without a mask.
        self._padded = str(getattr(config, "model_type", "")).startswith("siglip")
        own = getattr(getattr(config, "text_config", config), "max_position_embeddings", None)
        self._length = min(own or _LONGEST, self._tokenizer.model_max_length)
        self._groups = [
            [at for at, other in enumerate(attributes) if other == attribute] for attribute in sorted(set(attributes))
        ]
        self._labels = self._prompts(labels) if labels else None

    def _prompts(self, labels: Sequence[str]) -> torch.Tensor:
        """(k, d): unit embeddings of the labels times logit_scale."""
        scale = getattr(self._inner.network, "logit_scale", None)
        if scale is None:
            message = f"the encoder in {self._inner.folder.name} has no `logit_scale`, so it gives no probabilities"
            raise RunError(message, "Remove `labels`, or take CLIP or SigLIP.")
        texts = torch.from_numpy(self.encode_texts(labels)).to(self._inner.device)
        return functional.normalize(texts, dim=-1) * float(scale.detach().float().exp())

    def encode(self, images: np.ndarray) -> View:
        """Features (N, d), and probabilities (N, k) of the labels, of images (N, H, W, C) uint8."""
        with self._inner.running(shown_shape(images)):
            output = self._inner.network.get_image_features(pixel_values=self._inner.pixels(images))
            features = _projected(output)
            if self._labels is None:
                return View(features.cpu().numpy(), np.zeros((len(images), 0), np.float32))
            logits = functional.normalize(features, dim=-1) @ self._labels.T
            for group in self._groups:
                logits[:, group] = logits[:, group].softmax(dim=-1)
            return View(features.cpu().numpy(), logits.cpu().numpy())

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(C, d) float32 of C texts, each cut off at the model's length."""
        parts = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            with self._inner.running("these texts"):
                tokens = self._tokenizer(
                    list(texts[start : start + _TEXTS_AT_ONCE]),
                    padding="max_length" if self._padded else True,
                    truncation=True,
                    max_length=self._length,
                    return_tensors="pt",
                )
                taken = ("input_ids",) if self._padded else ("input_ids", "attention_mask")
                inputs = {name: tokens[name].to(self._inner.device) for name in taken if name in tokens}
                parts.append(_projected(self._inner.network.get_text_features(**inputs)).cpu().numpy())
        return np.concatenate(parts)


def _projected(output: Any) -> torch.Tensor:
    """Features of shared space: the output itself, or, of newer transformers, its pooled one."""
    found = output if isinstance(output, torch.Tensor) else output.pooler_output
    return found.float()
