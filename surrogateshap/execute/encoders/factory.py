"""From what a plan knows of an encoder to the encoder itself."""

from pathlib import Path

import torch

from surrogateshap.errors import RunError
from surrogateshap.execute.encoders import Encoder
from surrogateshap.plan.check_encoders import EncoderInput


def make_encoder(encoder: EncoderInput, device: torch.device) -> Encoder:
    """Loads an encoder. Raises RunError where it can't be, and MissingExtraError where it needs another package."""
    match encoder.kind:
        case "classifier":
            from surrogateshap.execute.encoders.classifier import Classifier

            return Classifier(_path(encoder), device)
        case "clip":
            from surrogateshap.execute.encoders.clip import Clip

            return Clip(_path(encoder), device, encoder.labels, encoder.attributes)
        case "backbone":
            from surrogateshap.execute.encoders.backbone import Backbone

            return Backbone(_path(encoder), device)
        case "inception":
            from surrogateshap.execute.encoders.inception import Inception

            return Inception(_path(encoder), device)
        case "lpips":
            from surrogateshap.execute.encoders.lpips import Lpips

            return Lpips(_path(encoder), device)
        case "pixels":
            from surrogateshap.execute.encoders.pixels import Pixels

            return Pixels(encoder.size, device)
        case _:
            message = f"encoder `{encoder.name}` is of the kind `{encoder.kind}`, which can't be loaded here"
            raise RunError(message, "Name an encoder of another kind.")


def _path(encoder: EncoderInput) -> Path:
    if encoder.path is None:
        raise RunError(f"encoder `{encoder.name}` has no `source`", "Name its folder or file.")
    return encoder.path
