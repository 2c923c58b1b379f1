"""Pipelines of every family, with random weights and tokenizers of single letters, small enough for a test."""

import json
import string
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from tests.tiny import SPEC, png

SIDE = 16
"""Pixels of the pipelines' images."""
LETTERS = string.ascii_lowercase + string.digits + ",."
PROMPTS = ("a red boat", "two green hills", "a house by night", "snow")
NAMES = {at: PROMPTS[at] if at < len(PROMPTS) else f"class {at}" for at in range(1000)}
"""Classes of the class-conditional one."""
MIXES = {"amber": (4, 1, 1, 0), "basil": (0, 2, 2, 2), "coral": (1, 1, 0, 4)}


def clip_tokenizer() -> CLIPTokenizer:
    """Letters alone, and the ends of words."""
    special = ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = [*special, *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    return CLIPTokenizer(vocab={token: at for at, token in enumerate(vocabulary)}, merges=[], model_max_length=24)


def t5_tokenizer() -> T5Tokenizer:
    """Letters alone."""
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=24)


def clip(width: int = 16, *, projected: bool = False) -> Any:
    """A text encoder for `clip_tokenizer`."""
    config = CLIPTextConfig(
        vocab_size=2 + 2 * len(LETTERS),
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=24,
        projection_dim=width,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return _loud((CLIPTextModelWithProjection if projected else CLIPTextModel)(config))


def t5(width: int = 16) -> Any:
    """A text encoder for `t5_tokenizer`."""
    config = T5Config(
        vocab_size=4 + len(LETTERS), d_model=width, d_kv=8, d_ff=width, num_layers=1, num_heads=2, pad_token_id=0
    )
    return T5EncoderModel(config).eval()


def autoencoder(channels: int = 4, **more: Any) -> AutoencoderKL:
    """Images of twice the latents' side."""
    made = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=SIDE,
        **more,
    )
    with torch.no_grad():
        made.decoder.conv_out.weight *= 6  # random weights paint in grey
    return made.eval()


def _loud(model: Any) -> Any:
    """With token embeddings that make prompts matter."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "token_embedding" in name:
                weight *= 40
    return model.eval()


def _unet(text: int, **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text,
        attention_head_dim=2,
        norm_num_groups=4,
        **more,
    ).eval()


def stable_diffusion() -> Any:
    """Stable Diffusion 1.x."""
    return StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(),
        unet=_unet(16),
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl() -> Any:
    """SDXL, with both its text encoders."""
    unet = _unet(
        32,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=16 + 6 * 4,
    )
    return StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=clip(),
        text_encoder_2=clip(projected=True),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(),
    )


def stable_diffusion_3() -> Any:
    """SD3 without its third text encoder, as many run it."""
    transformer = SD3Transformer2DModel(
        sample_size=SIDE // 2,
        patch_size=1,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        out_channels=4,
        pos_embed_max_size=16,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(shift_factor=0.06, scaling_factor=1.5),
        text_encoder=clip(projected=True),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip(projected=True),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=None,
        tokenizer_3=None,
    )


def flux() -> Any:
    """FLUX.1 dev: guidance is an input, sizes are not in its configs."""
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=autoencoder(shift_factor=0.06, scaling_factor=1.5),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(),
        transformer=transformer.eval(),
    )


def pixart() -> Any:
    """PixArt-α, which has no counterpart that starts from images."""
    transformer = PixArtTransformer2DModel(
        sample_size=SIDE // 2,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=16,
        in_channels=4,
        cross_attention_dim=16,
        out_channels=8,
        use_additional_conditions=False,
    )
    return PixArtAlphaPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5(),
        vae=autoencoder(),
        transformer=transformer.eval(),
        scheduler=EulerDiscreteScheduler(),
    )


def dit(classes: int = 1000) -> Any:
    """DiT, conditioned on the classes of ImageNet."""
    transformer = DiTTransformer2DModel(
        sample_size=SIDE // 2,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        num_embeds_ada_norm=classes,
        norm_type="ada_norm_zero",
    )
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if "class_embedder" in name or "embedding_table" in name:
                weight *= 20
    return DiTPipeline(transformer=transformer.eval(), vae=autoencoder(), scheduler=DDIMScheduler())


FAMILIES: dict[str, Callable[[], Any]] = {
    "sd": stable_diffusion,
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "flux": flux,
    "pixart": pixart,
    "dit": dit,
}
IMAGE_TO_IMAGE = ("sd", "sdxl", "sd3", "flux")
"""Those with an image proxy."""


def save(family: str, folder: Path) -> Path:
    """Builds a family's pipeline, the same every time, and saves it in diffusers layout."""
    torch.manual_seed(0)
    pipeline = FAMILIES[family]()
    pipeline.save_pretrained(folder)
    if family == "dit":  # diffusers reads the names of classes, and doesn't write them
        index = folder / "model_index.json"
        index.write_text(json.dumps(json.loads(index.read_text()) | {"id2label": NAMES}))
    return folder


def rows() -> pl.DataFrame:
    """Eighteen captioned rows of three owners."""
    rng = np.random.default_rng(0)
    made = [
        {
            "owner": owner,
            "caption": prompt,
            "image": png(rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)),
        }
        for owner, mix in MIXES.items()
        for prompt in np.repeat(PROMPTS, mix).tolist()
    ]
    return pl.DataFrame(made)


def spec(**changes: Any) -> dict[str, Any]:
    """Changes to `tests.tiny.SPEC`, as its projects take them, that make a spec of a pipeline in `model`."""
    contributors = deepcopy(SPEC["contributors"]) | {
        "manifest": "captions.parquet",
        "condition": "caption",
        "grouping": [{"name": "owner", "by": ["owner"]}],
    }
    base = {
        "name": "piped",
        "model": {"source": "pipeline"},
        "contributors": contributors,
        "sampling": {"steps": 3, "guidance_scale": 3.0, "height": SIDE, "width": SIDE},
        "utility": [{"name": "sure", "kind": "score"}, {"name": "variety", "kind": "inception"}],
        "budget": {"images_per_contributor": 4},
        "proxy": {"kind": "prompt", "strength": 0.6},
    }
    return base | changes
