"""Errors as the app shows them."""

from surrogateshap.errors import RunError, SurrogateShapError
from surrogateshap.text import harmless


def known(error: Exception) -> SurrogateShapError:
    """The error itself where users can cause it. One that nobody foresaw is a bug; the app goes on all the same."""
    if isinstance(error, SurrogateShapError):
        return error
    message = f"this is a bug: {type(error).__name__}: {harmless(str(error))}"
    return RunError(message, "Please report it; SURROGATESHAP_DEBUG=1 with `surrogateshap apply` shows where it is.")
