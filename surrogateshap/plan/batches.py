"""How many images are made, and decoded, at once: what memory is planned for, and what the executor does."""

BATCH_PIXELS = 1 << 23
"""Of the images that a model makes in one batch, before any is halved for want of memory."""
DECODED_PIXELS = 1 << 21
"""Of the images that one call of an autoencoder decodes: more would take gigabytes and gain nothing."""


def at_once(height: int, width: int, most: int, pixels: int = BATCH_PIXELS) -> int:
    """Images of this size, `most` at most, at least one."""
    return min(most, max(1, pixels // (height * width)))
