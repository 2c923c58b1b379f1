"""Schedulers by the names that a spec gives them."""

from typing import Any

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
    """The named diffusers scheduler on the model's own noise schedule; `model` is the one it was saved with."""
    import diffusers

    class_name = saved["_class_name"] if name == "model" else _CLASSES[name]
    return getattr(diffusers, class_name).from_config(saved)
