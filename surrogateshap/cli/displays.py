"""Displays by the names that `--display` gives them."""

import sys

from surrogateshap.cli.display import Display, JsonDisplay, PlainDisplay


def make_display(kind: str) -> Display:
    """The display that `--display` names."""
    match kind:
        case "rich":
            from surrogateshap.cli.bars import BarsDisplay

            return BarsDisplay()
        case "plain":
            return PlainDisplay()
        case "json":
            return JsonDisplay(sys.stdout)
        case _:
            return Display()
