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
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = opened.convert("L" if channels == 1 else "RGB")
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BICUBIC)
            pixels = np.asarray(image, np.uint8)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise RunError(f"{where} is not an image that can be read", f"Formats: {', '.join(_FORMATS)}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RunError(f"{where} is too large an image to open safely", "Scale it down.") from error
    return pixels.reshape(height, width, channels)
