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


_FLOW_CLASSES = {
    "euler": "FlowMatchEulerDiscreteScheduler",
    "dpmsolver++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}
"""The same for models of flow matching."""


def make_scheduler(name: str, saved: dict[str, Any], *, flow: bool = False) -> Any:
    """The named diffusers scheduler on the model's own noise schedule; `model` is the one it was saved with.

    `flow` says that the model was trained by flow matching. Raises ValueError where the name is no scheduler, or none
    for such a model.
    """
    import diffusers

    if flow and name not in ("model", *_FLOW_CLASSES):
        raise ValueError(f"`{name}` doesn't sample models of flow matching")
    class_name = str(saved["_class_name"]) if name == "model" else (_FLOW_CLASSES if flow else _CLASSES)[name]
    named = getattr(diffusers, class_name, None)
    if not isinstance(named, type) or not issubclass(named, diffusers.SchedulerMixin):
        raise ValueError(f"diffusers has no scheduler {harmless(class_name, 60)}")  # noqa: TRY004 - its name is wrong
    scheduler: Any = named
    settings: dict[str, Any] = {}
    if flow and name != "model":  # schedulers call the same shift of their schedule by two names
        shift = saved.get("flow_shift", saved.get("shift", 1.0))
        settings = {"shift": shift}
        if name != "euler":
            settings = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift}
    made = scheduler.from_config({**saved, **settings})
    if made.config.get("stochastic_sampling"):
        raise ValueError(f"{harmless(class_name, 60)} draws noise that no seed of an image decides")
    return made
