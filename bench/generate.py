"""Images per second: the published loop against ours, side by side on one device.

    python bench/generate.py [--device cuda] [--batch 32] [--images 64] [--compile]

The published loop makes one image at a time in float32 with 100 DDIM steps, and encodes its prompt every time. Ours
runs at equal steps (DDIM, 100) and at the spec's defaults, in batches, on the same weights. On CUDA the pipeline has
the size of Stable Diffusion 1.5 (random weights: nothing is downloaded), on a CPU it is a tiny one, where calls cost
more than arithmetic: its ratios say nothing of a GPU.
"""

import argparse
import string
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from surrogateshap.execute.device import choose_devices, device_name
from surrogateshap.execute.models import Request
from surrogateshap.execute.models.pipeline import PipelineModel
from surrogateshap.plan.cards import read_model_card
from surrogateshap.spec.model import ModelSection, SamplingSection

PROMPTS = ("a red boat at sea", "two green hills", "a house by night", "snow on a field", "a man who reads")
STEPS, GUIDANCE = 100, 7.5
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "RTX 4090": 165e12}
"""Dense bfloat16 FLOP/s of the makers' data sheets."""


def pipeline(size: str) -> Any:
    """A Stable Diffusion with random weights: `1.5` as the real one, `tiny` for a CPU."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    full = size == "1.5"
    letters = string.ascii_lowercase
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    tokenizer = CLIPTokenizer(
        vocab={token: at for at, token in enumerate(vocabulary)}, merges=[], model_max_length=77 if full else 24
    )
    text = CLIPTextConfig(
        vocab_size=49_408 if full else len(vocabulary),
        hidden_size=768 if full else 32,
        intermediate_size=3_072 if full else 64,
        num_hidden_layers=12 if full else 2,
        num_attention_heads=12 if full else 2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    channels = (320, 640, 1280, 1280) if full else (8, 16)
    levels = len(channels)
    unet = UNet2DConditionModel(
        sample_size=64 if full else 8,
        block_out_channels=channels,
        layers_per_block=2 if full else 1,
        down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
        cross_attention_dim=text.hidden_size,
        attention_head_dim=8 if full else 2,
        norm_num_groups=32 if full else 4,
    )
    widths = (128, 256, 512, 512) if full else (8, 8)
    vae = AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        latent_channels=4,
        layers_per_block=2 if full else 1,
        norm_num_groups=32 if full else 4,
        sample_size=512 if full else 16,
    )
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def timed(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of one call, to the end of what it started on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def published(folder: Path, device: torch.device, images: int) -> float:
    """Images per second of the published loop."""
    from diffusers import StableDiffusionPipeline

    pipe: Any = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None).to(device)
    pipe.set_progress_bar_config(disable=True)

    def one(at: int) -> None:
        generator = torch.Generator("cpu").manual_seed(at)
        pipe(PROMPTS[at % len(PROMPTS)], num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=generator)

    one(0)
    return images / timed(device, lambda: [one(at) for at in range(images)])


def ours(
    folder: Path, device: torch.device, sampling: SamplingSection, images: int, batch: int, compiled: bool
) -> tuple[float, PipelineModel]:
    """Images per second of ours, and the model."""
    card = read_model_card(folder, ModelSection(source="bench"), sampling)
    model = PipelineModel(folder, card, sampling, 0.6, device)
    if compiled:
        model.compile()
    asked = [Request(PROMPTS[at % len(PROMPTS)], at, None) for at in range(images)]
    batches = [asked[at : at + batch] for at in range(0, images, batch)]
    for size in sorted({len(one) for one in batches}, reverse=True):
        model.generate(asked[:size])
    return images / timed(device, lambda: [model.generate(one) for one in batches]), model


def denoiser(model: PipelineModel, device: torch.device, batch: int) -> tuple[float, float]:
    """FLOPs of one image's evaluation of the denoiser, and FLOP/s of batches of them under guidance."""
    from torch.utils.flop_counter import FlopCounterMode

    unet = model.pipeline.unet
    side, width = unet.config.sample_size, unet.config.cross_attention_dim
    made: dict[str, Any] = {"dtype": unet.dtype, "device": device}

    def run(count: int) -> None:
        with torch.inference_mode():
            unet(torch.ones(count, 4, side, side, **made), 500, torch.ones(count, model_tokens(model), width, **made))

    with FlopCounterMode(display=False) as counter:
        run(1)
    flops = float(counter.get_total_flops())
    run(2 * batch)
    rounds = 10
    return flops, 2 * batch * rounds * flops / timed(device, lambda: [run(2 * batch) for _ in range(rounds)])


def model_tokens(model: PipelineModel) -> int:
    """Length of an encoded prompt."""
    return int(model.pipeline.tokenizer.model_max_length)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=32, help="images of ours made at once")
    parser.add_argument("--images", type=int, help="of ours; default: 64")
    parser.add_argument("--compile", action="store_true", help="compile the denoiser")
    options = parser.parse_args(arguments)
    device = torch.device(choose_devices(options.device)[0])
    on_gpu = device.type == "cuda"
    images, alone = options.images or 64, 4 if on_gpu else 8
    defaults = SamplingSection()
    equal = SamplingSection(scheduler="ddim", steps=STEPS, guidance_scale=GUIDANCE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pipeline("1.5" if on_gpu else "tiny").save_pretrained(folder)
        base = published(folder, device, alone)
        same, _ = ours(folder, device, equal, images, options.batch, options.compile)
        fast, model = ours(folder, device, defaults, images, options.batch, options.compile)
        flops, speed = denoiser(model, device, options.batch)
    side = 512 if on_gpu else 16
    print(f"{device_name(device)}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"Stable Diffusion, {'the size of 1.5' if on_gpu else 'tiny'}, {side} × {side} pixels, random weights")
    print(f"published loop   {base:9.2f} images/s   one at a time, float32, DDIM, {STEPS} steps")
    how = f"batches of {options.batch}, {model.dtype}{', compiled' if options.compile else ''}"
    print(f"ours, equal      {same:9.2f} images/s   {how}, DDIM, {STEPS} steps: {same / base:.1f} times")
    print(f"ours, default    {fast:9.2f} images/s   {how}, {defaults.steps} steps: {fast / base:.1f} times")
    peak = next((value for part, value in PEAK.items() if part in device_name(device)), None)
    share = f", {speed / peak:.0%} of the data sheet's {peak / 1e12:.0f}" if peak and model.dtype == "bfloat16" else ""
    print(f"denoiser         {flops / 1e9:9.4g} GFLOP per evaluation, {speed / 1e12:.3g} TFLOP/s{share}")


if __name__ == "__main__":
    main()
