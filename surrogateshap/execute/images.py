"""Training images from encoded bytes to pixels."""

import io
import warnings

import numpy as np

from surrogateshap.errors import RunError

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")


def decode(data: bytes, height: int, width: int, channels: int, where: str) -> np.ndarray:
    """An encoded image as (height, width, channels) uint8, resized where it has another size.

    Raises RunError that names `where` it stands when the bytes are no image, or one that is too large to open safely.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
                image = opened.convert("L" if channels == 1 else "RGB")
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BICUBIC)
            pixels = np.asarray(image, np.uint8)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RunError(f"{where} is too large an image to open safely", "Scale it down.") from error
    except Exception as error:  # what Pillow's readers raise on strangers' bytes has no common base
        raise RunError(f"{where} is not an image that can be read", f"Formats: {', '.join(_FORMATS)}.") from error
    return pixels.reshape(height, width, channels)
