"""What the planner sees of models too large for a test: their real configs, beside weights of one number each."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

CLIP = "openai/clip-vit-large-patch14"
DINO = "facebook/dinov2-base"
MINI_SD = "lambdalabs/miniSD-diffusers"
FLUX = "black-forest-labs/FLUX.1-dev"
PREPROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def write_json(path: Path, content: Any) -> None:
    """Makes the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))


def weights(path: Path, *names: str, shape: tuple[int, ...] = (1,)) -> None:
    """A safetensors file with zeros under these names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.zeros(shape, np.float32) for name in names or ("weight",)}, path)


def model(folder: Path, config: Mapping[str, Any], *, preprocessor: bool = False, tokenizer: bool = False) -> None:
    """A folder as transformers saves a model."""
    write_json(folder / "config.json", config)
    weights(folder / "model.safetensors")
    if preprocessor:
        write_json(folder / "preprocessor_config.json", PREPROCESSOR)
    if tokenizer:
        clip_tokenizer(folder)


def clip_tokenizer(folder: Path) -> None:
    """CLIP's, without its words."""
    write_json(folder / "vocab.json", {"<|startoftext|>": 0, "<|endoftext|>": 1})
    (folder / "merges.txt").write_text("#version: 0.2\n")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})


def pipeline(folder: Path, name: str, components: Mapping[str, tuple[str, str, Mapping[str, Any]]]) -> None:
    """A pipeline as diffusers saves it: by component, its library, its class and its config."""
    index: dict[str, Any] = {"_class_name": name, "_diffusers_version": "0.35.0"}
    for component, (library, class_name, config) in components.items():
        index[component] = [library, class_name]
        place = folder / component
        if class_name.endswith("Scheduler"):
            write_json(place / "scheduler_config.json", {"_class_name": class_name, **config})
        elif "Tokenizer" in class_name:
            clip_tokenizer(place)
        else:
            write_json(place / "config.json", {"_class_name": class_name, **config})
            file = "model.safetensors" if library == "transformers" else "diffusion_pytorch_model.safetensors"
            weights(place / file)
    write_json(folder / "model_index.json", index)


def stable_diffusion(folder: Path) -> None:
    """Stable Diffusion 1.x, at 256 pixels."""
    pipeline(
        folder,
        "StableDiffusionPipeline",
        {
            "vae": ("diffusers", "AutoencoderKL", {"block_out_channels": [128, 256, 512, 512], "latent_channels": 4}),
            "text_encoder": ("transformers", "CLIPTextModel", {"model_type": "clip_text_model", "hidden_size": 768}),
            "tokenizer": ("transformers", "CLIPTokenizer", {}),
            "unet": ("diffusers", "UNet2DConditionModel", {"sample_size": 32, "in_channels": 4, "out_channels": 4}),
            "scheduler": ("diffusers", "PNDMScheduler", {"steps_offset": 1, "prediction_type": "epsilon"}),
        },
    )


def flux(folder: Path) -> None:
    """FLUX.1-dev."""
    pipeline(
        folder,
        "FluxPipeline",
        {
            "vae": ("diffusers", "AutoencoderKL", {"block_out_channels": [128, 256, 512, 512], "latent_channels": 16}),
            "text_encoder": ("transformers", "CLIPTextModel", {"model_type": "clip_text_model", "hidden_size": 768}),
            "text_encoder_2": ("transformers", "T5EncoderModel", {"model_type": "t5", "d_model": 4096}),
            "tokenizer": ("transformers", "CLIPTokenizer", {}),
            "tokenizer_2": ("transformers", "T5TokenizerFast", {}),
            "transformer": ("diffusers", "FluxTransformer2DModel", {"in_channels": 64, "guidance_embeds": True}),
            "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}),
        },
    )


def class_conditional(folder: Path, side: int, classes: int) -> None:
    """A class-conditional UNet with an embedding for no class."""
    config = {"sample_size": side, "in_channels": 3, "out_channels": 3, "num_class_embeds": classes + 1}
    pipeline(
        folder,
        "DDPMPipeline",
        {"unet": ("diffusers", "UNet2DModel", config), "scheduler": ("diffusers", "DDPMScheduler", {})},
    )


def clip(folder: Path) -> None:
    """CLIP ViT-L/14."""
    vision = {"hidden_size": 1024, "image_size": 224, "patch_size": 14, "num_hidden_layers": 24}
    text = {"hidden_size": 768, "max_position_embeddings": 77}
    config = {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 768}
    model(folder, {**config, "vision_config": vision, "text_config": text}, preprocessor=True, tokenizer=True)


def dino(folder: Path) -> None:
    """DINOv2."""
    config = {"architectures": ["Dinov2Model"], "model_type": "dinov2", "hidden_size": 768, "image_size": 518}
    model(folder, config, preprocessor=True)


def classifier(folder: Path, *names: str) -> None:
    """An image classifier."""
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)}}
    config = {"architectures": ["ResNetForImageClassification"], "model_type": "resnet", "hidden_sizes": [64, 512]}
    model(folder, {**config, **labels}, preprocessor=True)


def lora(folder: Path, denoiser: str) -> None:
    """An adapter of one layer."""
    layer = f"{denoiser}.blocks.0.attn.to_q"
    weights(
        folder / "pytorch_lora_weights.safetensors", f"{layer}.lora_A.weight", f"{layer}.lora_B.weight", shape=(1, 1)
    )
