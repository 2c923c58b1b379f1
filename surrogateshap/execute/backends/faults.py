"""Errors of workers, as something that any process can read."""

from surrogateshap.errors import RunError, SurrogateShapError
from surrogateshap.execute.assembly import DroppedError


def breaks_device(error: BaseException) -> bool:
    """Whether nothing more can be had of the device in this process."""
    return not isinstance(error, SurrogateShapError) and "CUDA error" in str(error)


def plain(error: BaseException) -> Exception:
    """The error in the words of this package, whatever library it comes from."""
    if isinstance(error, SurrogateShapError | DroppedError):
        return error
    return RunError(f"a worker failed: {type(error).__name__}: {error}", "Look at the model's and the encoders' files.")
