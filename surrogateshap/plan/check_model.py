"""Whether a model can do what a spec asks of it."""

from surrogateshap.plan.cards import ModelCard
from surrogateshap.plan.check_encoders import Key, Tell
from surrogateshap.spec.model import Spec
from surrogateshap.text import harmless

FLOW_SCHEDULERS = ("model", "euler", "dpmsolver++", "unipc")
"""By which models of flow matching are sampled."""
UNSCALED = ("euler", "euler_a", "heun")
"""Schedulers whose first noise a pipeline has to scale, which diffusers' DiTPipeline doesn't."""
FLOW_IMAGE_SCHEDULERS = ("model", "euler")
"""The same where they start from images: the others can't noise one."""
PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What a denoiser may predict for its losses to be known, by diffusers' names."""


def check_model(spec: Spec, card: ModelCard, tell: Tell) -> None:
    """What is asked of the model that it can't do."""
    if not card.unconditional and spec.empty.kind == "unconditional":
        message = 'the model has no class that means "no class", so it makes no unconditional images'
        remedy = 'Give the value of the empty coalition: `kind = "value"` and `value = …`.'
        tell(("empty", "kind"), message, remedy)
    if spec.flags.denoising_loss and card.pipeline is not None:
        message = f"denoising losses are known of class-conditional UNets alone, and the model is a {card.pipeline}"
        tell(("flags", "denoising_loss"), harmless(message), "Write `denoising_loss = false`.")
    elif spec.flags.denoising_loss and card.predicts not in PREDICTIONS:
        message = f"the model predicts `{harmless(card.predicts, 40)}`, and denoising losses know only"
        remedy = "Write `denoising_loss = false`."
        tell(("flags", "denoising_loss"), f"{message} {', '.join(PREDICTIONS)}", remedy)
    if card.pipeline is None and spec.model.dtype in ("bfloat16", "float16"):
        message = "class-conditional UNets compute in float32"
        tell(("model", "dtype"), message, 'Write `dtype = "float32"`, or leave it out.')
    if spec.model.adapters and card.kind == "classes":
        message = "adapters go on text-to-image pipelines, and the model is conditioned on classes"
        tell(("model", "adapters"), message, "Merge them into the model, or leave them out.")
    if not card.guided and spec.sampling.guidance_scale > 1:
        message = f"{card.pipeline} guides with class 1000, and the model has {len(card.labels):,} classes"
        tell(("sampling", "guidance_scale"), message, "Write `guidance_scale = 1.0`.")
    if card.pipeline == "DiTPipeline" and spec.sampling.scheduler in UNSCALED:
        message = f"DiTPipeline starts from noise of variance 1, and `{spec.sampling.scheduler}` from much more"
        tell(("sampling", "scheduler"), message, "Take `model`, `ddim`, `ddpm`, `dpmsolver++` or `unipc`.")
    if card.flow and spec.sampling.scheduler not in FLOW_SCHEDULERS:
        message = f"the model was trained by flow matching, which `{spec.sampling.scheduler}` doesn't sample"
        tell(("sampling", "scheduler"), message, f"Take one of {', '.join(FLOW_SCHEDULERS)}.")


def check_image_proxy(spec: Spec, card: ModelCard, tell: Tell) -> None:
    key: Key = ("proxy", "kind")
    if not card.image_to_image:
        message = f"{harmless(card.pipeline or '', 60)} has no counterpart that starts from images"
        tell(key, message, 'Write `kind = "prompt"`.')
    elif not starts_from_images(spec, card):
        message = f"`{spec.sampling.scheduler}` doesn't start from images with a model of flow matching"
        tell(("sampling", "scheduler"), message, f"Take one of {', '.join(FLOW_IMAGE_SCHEDULERS)}.")


def starts_from_images(spec: Spec, card: ModelCard) -> bool:
    return card.image_to_image and not (card.flow and spec.sampling.scheduler not in FLOW_IMAGE_SCHEDULERS)
