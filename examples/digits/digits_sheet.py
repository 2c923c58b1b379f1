"""The example's contact sheet: generated digits, and what the bad contributors and their twins supplied."""

from collections.abc import Mapping

import numpy as np
from digits_data import CLASSES, Images, Labels
from PIL import Image, ImageDraw

SIDE = 40  # of one enlarged digit, pixels
GAP = 4
MARGIN = 130  # for the text left of the digits
COLUMNS = 10
CAPTION = 18


def contact_sheet(generated: Images, samples: Mapping[str, tuple[Images, Labels]]) -> Image.Image:
    """Draw `generated` ((100, 8, 8), ten of each digit in order), then ten samples of each contributor with labels."""
    cell = SIDE + GAP
    height = CAPTION + CLASSES * cell + 2 * CAPTION + len(samples) * (cell + CAPTION)
    sheet = Image.new("L", (MARGIN + COLUMNS * cell, height), 255)
    draw = ImageDraw.Draw(sheet)

    def row(images: Images, top: int) -> None:
        for column, image in enumerate(images):
            digit = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(digit, (MARGIN + column * cell, top))

    draw.text((GAP, GAP), "generated for the label at the left", fill=0)
    for digit in range(CLASSES):
        top = CAPTION + digit * cell
        draw.text((MARGIN - CAPTION, top + SIDE // 3), str(digit), fill=0)
        row(generated[digit * COLUMNS : (digit + 1) * COLUMNS], top)
    top = CAPTION + CLASSES * cell + CAPTION
    draw.text((GAP, top - CAPTION + GAP), "training rows, with the label given below each", fill=0)
    top += GAP
    for name, (images, labels) in samples.items():
        draw.text((GAP, top + SIDE // 3), name, fill=0)
        row(images, top)
        for column, label in enumerate(labels):
            draw.text((MARGIN + column * cell + SIDE // 2 - 3, top + SIDE + 2), str(label), fill=0)
        top += cell + CAPTION
    return sheet


def spread_over_labels(images: Images, labels: Labels) -> tuple[Images, Labels]:
    """Ten rows at equal distances in the order of their labels."""
    order = np.argsort(labels, kind="stable")
    rows = order[np.linspace(0, len(order) - 1, COLUMNS).round().astype(int)]
    return images[rows], labels[rows]
