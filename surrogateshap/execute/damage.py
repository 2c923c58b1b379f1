"""Objects that should be in the store and aren't, or not whole."""

from surrogateshap.errors import RunError


class DamagedError(RunError):
    """An object is missing or damaged. What was damaged is gone by now, unless the store is only read."""

    def __init__(self, key: str) -> None:
        """`key` is what the object goes by: an attempt that meets it twice can't go on."""
        remedy = "Drop what is damaged with `surrogateshap gc --check`, then run `apply` again: it is made anew."
        super().__init__("an object of the store is missing or damaged", remedy)
        self.key = key
