"""Schedulers by the names that a spec gives them."""

from typing import Any

from surrogateshap.text import harmless

_CLASSES = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "dpmsolver++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "lcm": "LCMScheduler",
    "unipc": "UniPCMultistepScheduler",
}


def make_scheduler(name: str, saved: dict[str, Any]) -> Any:
    """The named diffusers scheduler on the model's own noise schedule; `model` is the one it was saved with.

    Raises ValueError where that is no scheduler.
    """
    import diffusers

    class_name = str(saved["_class_name"]) if name == "model" else _CLASSES[name]
    named = getattr(diffusers, class_name, None)
    if not isinstance(named, type) or not issubclass(named, diffusers.SchedulerMixin):
        raise ValueError(f"diffusers has no scheduler {harmless(class_name, 60)}")  # noqa: TRY004 - its name is wrong
    scheduler: Any = named
    return scheduler.from_config(saved)
