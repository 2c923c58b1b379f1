"""Pipelines of every family: from spec to ranking, and each of the things that make them fast against the plain way."""

import inspect
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForImage2Image, DiffusionPipeline
from peft import LoraConfig, get_peft_model_state_dict

from surrogateshap import api
from surrogateshap.errors import DeviceError, InterruptedRun, RunError
from surrogateshap.events import Event, StageProgress
from surrogateshap.execute.models import Model, Request
from surrogateshap.execute.models.pipeline import PipelineModel, Strength
from surrogateshap.execute.models.prompts import PromptCache
from surrogateshap.execute.workshop import Workshop, keep_batch, known_batch
from surrogateshap.plan.adapters import adapter_file
from surrogateshap.plan.cards import ModelCard, read_model_card
from surrogateshap.plan.check import AdapterInput
from surrogateshap.plan.check_model import FLOW_SCHEDULERS
from surrogateshap.plan.compile import compile_spec
from surrogateshap.spec.model import ModelSection, SamplingSection
from surrogateshap.store import Store
from tests import pipelines
from tests.pipelines import FAMILIES, PROMPTS, SIDE, spec
from tests.tiny import Project, run_files, values

CPU = torch.device("cpu")
SAMPLING: dict[str, Any] = {"steps": 3, "guidance_scale": 3.0, "height": SIDE, "width": SIDE}
SOURCE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
Saved = Callable[[str], Path]


def card_of(folder: Path, model: dict[str, Any] | None = None, **sampling: Any) -> ModelCard:
    return read_model_card(folder, ModelSection(source="x", **(model or {})), SamplingSection(**(SAMPLING | sampling)))


def load(
    folder: Path, dtype: str = "auto", adapters: Any = (), strength: float = 0.6, **sampling: Any
) -> PipelineModel:
    section = SamplingSection(**(SAMPLING | sampling))
    return PipelineModel(folder, card_of(folder, **sampling), section, strength, CPU, dtype, adapters)


def requests(family: str = "sd", *, source: bool = False) -> list[Request]:
    conditions: list[int | str | None] = [0, 1, 2, None] if family == "dit" else [*PROMPTS[:3], None]
    return [Request(condition, 40 + i, SOURCE if source else None) for i, condition in enumerate(conditions)]


def apart(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of two images, in levels of 255."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def both(family: str) -> dict[str, Any]:
    kinds = ["prompt", "image"] if family in pipelines.IMAGE_TO_IMAGE else ["prompt"]
    return spec(proxy={"kind": kinds, "strength": 0.6})


@pytest.mark.parametrize("family", FAMILIES)
def test_from_spec_to_ranking(piped: Callable[[str], Project], family: str) -> None:
    project = piped(family)
    results = project.apply(both(family))
    for game in results.games:
        assert [row.rank for row in game.contributors] == [1, 2, 3]
        shapley = [row.value for row in game.contributors]
        assert np.isfinite(shapley).all()
        assert len({round(value, 9) for value in shapley}) == 3
        assert sum(shapley) == pytest.approx(game.v_full - game.v_empty, abs=1e-9)
    again = project.apply(both(family), store=project.folder / "again")
    assert (
        run_files(project.store, results.run)["results.json"]
        == run_files(project.folder / "again", again.run)["results.json"]
    )


def test_an_interrupted_run_ends_in_the_same_results(piped: Callable[[str], Project]) -> None:
    execution = {"batch_size": 8, "devices": "cpu", "threads": 1}
    project, changes = piped("sd"), both("sd") | {"execution": execution, "budget": {"images_per_contributor": 4}}
    whole = project.apply(changes)
    stop, store = threading.Event(), project.folder / "other"

    def interrupt(event: Event) -> None:
        if isinstance(event, StageProgress) and event.stage == "generate:image" and event.done:
            stop.set()

    with pytest.raises(InterruptedRun):
        project.apply(changes, store=store, emit=interrupt, stop=stop)
    project.apply(changes, store=store)
    assert run_files(project.store, whole.run)["results.json"] == run_files(store, whole.run)["results.json"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source", [False, True], ids=["prompt", "image"])
def test_images_do_not_depend_on_their_batch(saved: Saved, family: str, source: bool) -> None:
    if source and family not in pipelines.IMAGE_TO_IMAGE:
        with pytest.raises(RunError, match="no counterpart that starts from images"):
            load(saved(family)).generate(requests(family, source=True))
        return
    model, asked = load(saved(family)), requests(family, source=source)
    together = model.generate(asked)
    assert together.shape == (4, SIDE, SIDE, 3)
    assert len({image.tobytes() for image in together}) == 4
    assert apart(model.generate(asked[1:2])[0], together[1]) <= 1
    assert apart(model.generate(asked[::-1])[::-1], together) <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_conditions_and_seeds_and_sources_matter(saved: Saved, family: str) -> None:
    model, (first, second, *_, nothing) = load(saved(family)), requests(family)
    same = [Request(one.condition, 7, None) for one in (first, second, nothing)]
    seen = [image.tobytes() for image in model.generate([*same, Request(first.condition, 8, None)])]
    if family in pipelines.IMAGE_TO_IMAGE:
        sources = [SOURCE, 255 - SOURCE]
        seen += [image.tobytes() for image in model.generate([Request(PROMPTS[0], 7, one) for one in sources])]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3", "flux", "pixart"])
def test_it_is_the_pipeline_that_samples(saved: Saved, family: str) -> None:
    """The same call, written out, on the pipeline as diffusers loads it."""
    parts = {"text_encoder_3": None, "tokenizer_3": None} if family == "sd3" else {}
    plain = DiffusionPipeline.from_pretrained(saved(family), **parts)
    plain.set_progress_bar_config(disable=True)
    more = {"use_resolution_binning": False} if family == "pixart" else {}
    asked = requests(family)
    common: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 3.0, "output_type": "np"}
    model = load(saved(family))
    for request, made in zip(asked, model.generate(asked), strict=True):
        generator = torch.Generator().manual_seed(request.seed)
        (image,) = plain(
            prompt=request.condition or "", height=SIDE, width=SIDE, generator=generator, **common, **more
        ).images
        assert apart((image * 255).round().astype(np.uint8), made) <= 1
    if family not in pipelines.IMAGE_TO_IMAGE:
        return
    plain = AutoPipelineForImage2Image.from_pipe(plain)
    plain.set_progress_bar_config(disable=True)
    for request, made in zip(asked, model.generate(requests(family, source=True)), strict=True):
        source = torch.from_numpy(SOURCE).permute(2, 0, 1)[None] / 255
        generator = torch.Generator().manual_seed(request.seed)
        more = {} if "height" not in inspect.signature(plain.__call__).parameters else {"height": SIDE, "width": SIDE}
        (image,) = plain(
            prompt=request.condition or "", image=source, strength=2 / 3, generator=generator, **common, **more
        ).images
        assert apart((image * 255).round().astype(np.uint8), made) <= 1


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3", "flux", "pixart"])
def test_prompts_are_encoded_once_each(saved: Saved, family: str) -> None:
    model, plain = load(saved(family)), load(saved(family))
    plain.pipeline.__dict__.pop("encode_prompt")
    counts: dict[str, list[int]] = {}
    for name in ("text_encoder", "text_encoder_2"):
        encoder = getattr(model.pipeline, name, None)
        if encoder is not None:
            seen = counts.setdefault(name, [])
            encoder.register_forward_pre_hook(
                lambda _module, args, kwargs, seen=seen: seen.append(len((args or (kwargs["input_ids"],))[0])),
                with_kwargs=True,
            )
    asked = requests(family)
    batches = [asked[:2], asked, [asked[3], asked[0], asked[0]], asked[::-1]]
    together = [model.generate(batch) for batch in batches]
    passes = 1 if family in ("flux", "sdxl") else 2  # others encode the negative prompt, "", beside each
    for seen in counts.values():
        assert sum(seen) == passes * 4
    for batch, images in zip(batches, together, strict=True):
        assert apart(plain.generate(batch), images) <= 1


def test_a_full_cache_changes_nothing(saved: Saved) -> None:
    model, other = load(saved("sd")), load(saved("sd"))
    other.prompts._limit = 0
    asked = requests()
    assert (model.generate(asked) == other.generate(asked)).all()
    assert model.prompts._bytes > 0
    assert other.prompts._bytes == 0


class Encoding:
    """A pipeline whose prompts become as many numbers as they have letters."""

    _execution_device = CPU

    def __init__(self, kind: str) -> None:
        self.kind, self.calls = kind, 0

    def encode_prompt(self, prompt: list[str], device: torch.device | None = None, prompt_embeds: Any = None) -> Any:
        """Padded to the longest, each of its own length, or their ids."""
        self.calls += 1
        rows = [torch.tensor([float(ord(letter)) for letter in one]) for one in prompt]
        if self.kind == "list":
            return rows, len("always")
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return padded, None, torch.zeros(5, 3)


@pytest.mark.parametrize(("kind", "prompts", "calls"), [("list", ["a", "bcd", "a"], 2), ("padded", ["ab", "cd"], 2)])
def test_what_prompts_become_is_put_together(kind: str, prompts: list[str], calls: int) -> None:
    plain, cached = Encoding(kind), Encoding(kind)
    PromptCache().serve(cached)
    for _ in range(2):
        ours, theirs = cached.encode_prompt(prompts, device=CPU), plain.encode_prompt(prompts)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other)
    assert cached.calls == calls


def test_prompts_of_unequal_lengths_are_encoded_together() -> None:
    plain, cached = Encoding("padded"), Encoding("padded")
    PromptCache().serve(cached)
    torch.testing.assert_close(cached.encode_prompt(["a", "bcd"])[0], plain.encode_prompt(["a", "bcd"])[0])
    given = torch.ones(1, 2)
    cached.encode_prompt(["a"], prompt_embeds=given)
    assert cached.calls == 4


@pytest.mark.parametrize(
    ("family", "scheduler"),
    [("sd", name) for name in ("ddim", "dpmsolver++", "euler", "euler_a", "heun", "unipc", "lcm", "ddpm")]
    + [("dit", name) for name in ("ddpm", "dpmsolver++", "lcm")],
)
def test_every_scheduler_by_name(saved: Saved, family: str, scheduler: str) -> None:
    model, asked = load(saved(family), scheduler=scheduler), requests(family)
    together = model.generate(asked)
    assert apart(model.generate(asked[:0:-1])[::-1], together[1:]) <= 2


@pytest.mark.parametrize("scheduler", FLOW_SCHEDULERS)
@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_schedulers_of_flow_matching(saved: Saved, family: str, scheduler: str) -> None:
    """They solve one differential equation, so with many steps they lead to the same place."""
    asked = requests(family)[:1]
    made = load(saved(family), scheduler=scheduler, steps=20).generate(asked)
    assert np.abs(made.astype(float) - load(saved(family), steps=20).generate(asked)).mean() < 12


def test_the_image_proxy_denoises_whole_steps() -> None:
    for steps in (*range(1, 60), 100, 997, 1000):
        for asked in range(1, steps + 1):
            strength = Strength(steps, asked / steps)
            assert min(int(steps * strength), steps) == asked
            assert int(max(steps - min(steps * strength, steps), 0)) == steps - asked
            assert 0 < strength <= 1
    assert Strength(20, 0.01) * 20 == 1
    assert Strength(20, 0.5) * 50 == 25


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("family", ["sd", "sd3", "flux"])
def test_steps_of_the_image_proxy(saved: Saved, family: str, strength: float) -> None:
    model = load(saved(family), steps=4, strength=strength)
    seen: list[int] = []
    denoiser = model.pipeline.unet if family == "sd" else model.pipeline.transformer
    denoiser.register_forward_hook(lambda *_: seen.append(1))
    model.generate(requests(family, source=True)[:2])
    assert len(seen) == max(1, round(4 * strength))


def test_evaluations_per_step(saved: Saved) -> None:
    expected = {"sd": 2, "sdxl": 2, "sd3": 2, "flux": 1, "pixart": 2, "dit": 2}
    for family, evaluations in expected.items():
        card = card_of(saved(family))
        assert (card.evaluations_per_step(3.0), card.evaluations_per_step(1.0)) == (evaluations, 1)
        model, seen = load(saved(family)), []
        part = "unet" if family in ("sd", "sdxl") else "transformer"
        getattr(model.pipeline, part).register_forward_pre_hook(
            lambda _module, args, kwargs, seen=seen: seen.append(len((args or (kwargs.get("hidden_states"),))[0])),
            with_kwargs=True,
        )
        model.generate(requests(family)[:1])
        assert seen == [evaluations] * 3


def test_large_batches_are_decoded_in_parts(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = requests()
    whole = load(saved("sd")).generate(asked)
    monkeypatch.setattr("surrogateshap.execute.models.pipeline.DECODED_PIXELS", 3 * SIDE * SIDE)
    model, sizes = load(saved("sd")), []
    model.pipeline.vae.decoder.register_forward_pre_hook(lambda _module, args: sizes.append(len(args[0])))
    assert apart(model.generate(asked), whole) <= 1
    assert sizes == [3, 1]


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_number_formats(saved: Saved, dtype: str) -> None:
    model = load(saved("sd"), dtype)
    assert model.dtype == ("float32" if dtype == "auto" else dtype)
    assert {str(weight.dtype) for weight in model.pipeline.unet.parameters()} == {f"torch.{model.dtype}"}
    difference = apart(model.generate(requests()), load(saved("sd")).generate(requests()))
    assert (difference > 0) == (dtype == "bfloat16")


def test_the_denoiser_is_compiled_when_asked(piped: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(type(self).__name__))
    project = piped("sd3")
    _ = Workshop(compile_spec(project.spec(spec()))).model
    assert compiled == []
    _ = Workshop(compile_spec(project.spec(spec() | {"execution.compile": True}))).model
    assert compiled == ["SD3Transformer2DModel"]
    _ = Workshop(compile_spec(project.spec({"execution.compile": True}))).model
    assert compiled[1:] == ["UNet2DModel"]


class Small:
    """A model for a device with memory for a few images."""

    dtype = "float32"

    def __init__(self, fits: int) -> None:
        self.fits, self.sizes = fits, []  # type: tuple[int, list[int]]

    def generate(self, asked: list[Request]) -> np.ndarray:
        """Pictures of the requests' seeds."""
        self.sizes.append(len(asked))
        if len(asked) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return np.stack([np.full((8, 8, 1), request.seed % 251, np.uint8) for request in asked])


def test_batches_are_halved_until_they_fit(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compile_spec(tiny.spec())
    with Store.open(tiny.folder / "store") as store:
        workshop, model = Workshop(compiled), Small(3)
        items = [Request(0, seed, None) for seed in range(16)]
        images, where = workshop.make(items, model)  # type: ignore[arg-type]
        assert images[:, 0, 0, 0].tolist() == list(range(16))
        assert where["dtype"] == "float32"
        assert model.sizes == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
        workshop.make(items[:4], model)  # type: ignore[arg-type]
        assert model.sizes[11:] == [2, 2]
        assert workshop.halved == 2
        keep_batch(compiled, store, workshop.device_name, workshop.halved)
        later = Small(3)
        Workshop(compiled, batch=known_batch(compiled, store)).make(items[:4], later)  # type: ignore[arg-type]
        assert later.sizes == [2, 2]
        with pytest.raises(DeviceError, match="too little memory for one image"):
            workshop.make(items, Small(0))  # type: ignore[arg-type]


class TestAdapters:
    @pytest.fixture
    def lora(self, saved: Saved, tmp_path: Path) -> Path:
        """A LoRA adapter on the attention of a Stable Diffusion, saved by diffusers."""
        pipeline = DiffusionPipeline.from_pretrained(saved("sd"))
        torch.manual_seed(1)
        pipeline.unet.add_adapter(LoraConfig(r=2, lora_alpha=4, target_modules=["to_q", "to_v"]))
        with torch.no_grad():
            for name, weight in pipeline.unet.named_parameters():
                if "lora_B" in name:
                    weight.normal_(std=2.0)
        self.pipeline = pipeline
        layers = get_peft_model_state_dict(pipeline.unet)
        settings = {"r": 2, "lora_alpha": 4, "target_modules": ["to_q", "to_v"], "peft_type": "LORA"}
        type(pipeline).save_lora_weights(
            tmp_path / "lora", unet_lora_layers=layers, unet_lora_adapter_metadata=settings
        )
        return tmp_path / "lora"

    def model(self, saved: Saved, *adapters: tuple[Path, float]) -> Model:
        return load(saved("sd"), adapters=[AdapterInput(adapter_file(path, None), "", None, s) for path, s in adapters])

    def test_it_acts_as_peft_has_it(self, saved: Saved, lora: Path) -> None:
        base, asked = load(saved("sd")).generate(requests()), requests()
        plain = load(saved("sd"))
        plain.pipeline.unet = self.pipeline.unet
        expected = plain.generate(asked)
        assert apart(base, expected) > 8
        assert apart(self.model(saved, (lora, 1.0)).generate(asked), expected) <= 1
        assert (self.model(saved, (lora, 0.0)).generate(asked) == base).all()
        twice = self.model(saved, (lora, 0.25), (lora, 0.75)).generate(asked)
        assert apart(twice, expected) <= 1

    def test_peft_saves_it_too(self, saved: Saved, lora: Path, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        state = get_peft_model_state_dict(self.pipeline.unet)
        (tmp_path / "peft").mkdir()
        weights = {f"base_model.model.{key}": value.contiguous() for key, value in state.items()}
        save_file(weights, tmp_path / "peft" / "adapter_model.safetensors")
        config = {"r": 2, "lora_alpha": 4, "target_modules": ["to_q", "to_v"]}
        (tmp_path / "peft" / "adapter_config.json").write_text(json.dumps(config))
        made = self.model(saved, (tmp_path / "peft", 1.0)).generate(requests())
        assert apart(made, self.model(saved, (lora, 1.0)).generate(requests())) <= 1
        (tmp_path / "peft" / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
        with pytest.raises(RunError, match="use_dora"):
            self.model(saved, (tmp_path / "peft", 1.0))

    def test_from_spec_to_ranking(self, piped: Callable[[str], Project], lora: Path) -> None:
        project = piped("sd")
        shutil.copytree(lora, project.folder / "lora")
        (file,) = lora.glob("*.safetensors")

        def changes(*adapters: dict[str, Any]) -> dict[str, Any]:
            return spec(model={"source": "pipeline", "adapters": list(adapters)})

        kinds = [
            changes(),
            changes({"source": "lora"}),
            changes({"source": "lora", "scale": 0.5}),
            changes({"source": "lora", "scale": 0.0}),
            changes({"source": f"lora/{file.name}"}),
            changes({"source": "lora", "weight_name": file.name}),
        ]
        plans = [project.plan(kind) for kind in kinds]
        assert len({plan.plan_id for plan in plans}) == len(plans)
        assert "adapter 0" in {one.role for one in plans[1].inputs}
        ranked = [values(project.apply(kind), "owner / sure / prompt") for kind in kinds[:4]]
        assert ranked[0] == ranked[3]
        assert ranked[0] != ranked[1]
        shutil.move(project.folder / "lora", project.folder / "moved")
        assert project.plan(changes({"source": "moved"})).plan_id == plans[1].plan_id

    def test_adapters_of_something_else(self, saved: Saved, lora: Path) -> None:
        with pytest.raises(RunError, match="can't be loaded"):
            load(saved("sd3"), adapters=[AdapterInput(adapter_file(lora, None), "", None, 1.0)])


def test_anchors_of_pipelines(piped: Callable[[str], Project], saved: Saved) -> None:
    project = piped("sd")
    trainer = ["{python}", "train.py", "{rows}", "{out}"]
    changes = spec() | {"fidelity.trainer": trainer, "execution.batch_size": 8}
    path = project.spec(changes)
    copy = "import shutil, sys\nshutil.copytree('pipeline', sys.argv[2], dirs_exist_ok=True)\n"
    (project.folder / "train.py").write_text(copy)
    anchors = project.folder / "anchors"
    api.plan_anchors(str(path), 4, anchors)
    table = api.train_anchors(anchors, spec=path, allow_commands=True, images=8)
    compared = changes | {"fidelity.anchors": table.relative_to(project.folder).as_posix()}
    assert {game.fidelity is not None for game in project.apply(compared).games} == {True}
    shutil.copytree(saved("sdxl"), project.folder / "other")
    (project.folder / "train.py").write_text(copy.replace("pipeline", "other"))
    api.plan_anchors(str(path), 2, project.folder / "more")
    with pytest.raises(RunError, match="another pipeline than the run's: StableDiffusionXLPipeline instead of"):
        api.train_anchors(project.folder / "more", spec=path, allow_commands=True, images=8)


def test_missing_weights_are_never_made_up(saved: Saved, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for part, name in (("unet", "diffusion_pytorch_model.safetensors"), ("text_encoder", "model.safetensors")):
        folder = shutil.copytree(saved("sd"), tmp_path / part)
        weights = load_file(folder / part / name)
        weights.pop(next(key for key in sorted(weights) if key.endswith(".weight")))
        save_file(weights, folder / part / name, metadata={"format": "pt"})
        with pytest.raises(RunError, match=r"1 of its weights are missing or misshapen"):
            load(folder)


def test_a_pipeline_that_fails_says_why(saved: Saved) -> None:
    model = load(saved("sd"))
    model.pipeline.unet.conv_in = torch.nn.Conv2d(3, 8, 3)
    with pytest.raises(RunError, match=r"StableDiffusionPipeline can't be sampled as the spec asks: .*channels"):
        model.generate(requests())
    model = load(saved("sd"))
    with torch.no_grad():
        model.pipeline.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(RunError, match="not finite numbers in float32"):
        model.generate(requests())
    with pytest.raises(RunError, match="denoising losses of pipelines"):
        model.denoising_losses(requests(source=True), 2)
