"""Images from encoded bytes to pixels, and back."""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from surrogateshap.errors import RunError

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")


def decode(data: bytes, height: int, width: int, channels: int, where: str) -> np.ndarray:
    """An encoded image as (height, width, channels) uint8, resized where it has another size.

    Raises RunError that names `where` it stands when the bytes are no image, or one that is too large to open safely.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
                upright = ImageOps.exif_transpose(opened)
                image = _eight_bits(upright).convert("L" if channels == 1 else "RGB")
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BICUBIC)
            pixels = np.asarray(image, np.uint8)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RunError(f"{where} is too large an image to open safely", "Scale it down.") from error
    except Exception as error:  # what Pillow's readers raise on strangers' bytes has no common base
        raise RunError(f"{where} is not an image that can be read", f"Formats: {', '.join(_FORMATS)}.") from error
    return pixels.reshape(height, width, channels)


def png(pixels: np.ndarray, side: int | None = None) -> bytes:
    """Pixels (H, W, C) uint8 as PNG without metadata, scaled down to `side` pixels where one is longer."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if side is not None and max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _eight_bits(image: "Image.Image") -> "Image.Image":
    """Grey images of 16 bits, scaled: Pillow's own conversion would cut off what is above 255.

    Raises ValueError for the numbers of other scales, such as floats, which have no known white.
    """
    from PIL import Image

    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError("its pixels are not numbers of 8 or 16 bits")
    return Image.fromarray((values.astype(np.uint32) // 257).astype(np.uint8))
