"""The spec as pydantic models: strict, frozen, every key documented. `surrogateshap schema` is made from this.

Keys are of three sorts, marked in the field's `json_schema_extra`: unmarked ones change results and are hashed into the
plan; `execution` ones change how results are computed; `cosmetic` ones change neither.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from surrogateshap.spec.compare import CompareSection
from surrogateshap.spec.section import COSMETIC, EXECUTION, Name, Scalar, Section, Text
from surrogateshap.spec.utilities import UtilitySection

EstimatorName = Literal["surrogate", "exact", "kernel", "permutation", "leave_one_out", "surrogateshap_paper"]
"""Every way there is from coalition values to contributors' values."""

SPEC_VERSION = 1

Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,254}$")]
"""A commit, tag or branch of a hub repository."""


class AdapterSection(Section):
    """A LoRA adapter, as diffusers and peft save it."""

    source: Text = Field(examples=["lora"])
    """A folder beside the spec with `*.safetensors`, one such file, or a hub id."""
    revision: Revision | None = None
    """Hub ids: commit, tag or branch. Planning pins it to a commit."""
    weight_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.safetensors$")] | None = None
    """Which file, where there are several."""
    scale: float = Field(default=1.0, ge=-10, le=10)
    """How strongly it acts."""


class ModelSection(Section):
    """The frozen model."""

    source: Text = Field(examples=["example:digits/model"])
    """A folder in diffusers layout beside the spec, a hub id such as `lambdalabs/miniSD-diffusers`, or `example:…` for
    one that ships with surrogateshap."""
    revision: Revision | None = None
    """Hub ids: commit, tag or branch. Planning pins it to a commit."""
    variant: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_]{1,32}$")] | None = None
    """Variant of the weights' files, such as `fp16`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What it computes in. `auto`: bfloat16 for pipelines on accelerators, else float32."""
    adapters: tuple[AdapterSection, ...] = Field(default=(), max_length=16)
    """LoRA adapters on top of it."""
    null_class: int | None = Field(default=None, ge=0, lt=2**31)
    """Class-conditional models: index of the embedding that means "no class". Default: the one after the labels."""


ProxyList = Annotated[
    tuple[Literal["prompt", "image"], ...], Field(min_length=1, max_length=2, json_schema_extra={"uniqueItems": True})
]


class ProxySection(Section):
    """How a coalition's images come from the frozen model."""

    kind: Literal["auto", "prompt", "image"] | ProxyList = "auto"
    """`prompt`: conditioned on its prompts or labels alone. `image`: its own images, noised and denoised. A list asks
    for both, side by side. `auto`: image where the manifest has images and contributors share conditions."""
    strength: float = Field(default=0.6, gt=0, le=1)
    """Image proxy: share of the noise that is put on a training image before the model denoises it."""


class SamplingSection(Section):
    """How the frozen model is sampled."""

    mode: Literal["pool", "fresh"] = "pool"
    """`pool`: generated once, serves every coalition. `fresh`: new images for each coalition, as published."""
    scheduler: Literal["model", "ddim", "dpmsolver++", "euler", "euler_a", "heun", "unipc", "lcm", "ddpm"] = "model"
    """`model` keeps the scheduler that the model was saved with."""
    steps: int = Field(default=20, ge=1, le=1000)
    """Denoising steps of a whole generation; the image proxy runs the last strength × steps of them."""
    guidance_scale: float = Field(default=1.5, ge=0)
    """Weight of classifier-free guidance; 1 switches it off."""
    height: int | None = Field(default=None, ge=8, le=4096, multiple_of=8)
    """Pixels. Default: what the model was trained at."""
    width: int | None = Field(default=None, ge=8, le=4096, multiple_of=8)
    """Pixels. Default: what the model was trained at."""


class GroupingSection(Section):
    """A rule that turns rows into contributors."""

    name: Name = Field(examples=["contributor"])
    """Of the grouping; every grouping has another."""
    by: tuple[Text, ...] = Field(min_length=1, max_length=16, examples=[["contributor"]])
    """Columns whose values, together, name the contributor."""
    min_rows: int = Field(default=1, ge=1, lt=2**31)
    """Contributors with fewer rows are pooled under `other`, or an error where that is not given."""
    other: Text | None = None
    """Name of the contributor that holds all small ones together."""
    groups: Text | None = Field(default=None, examples=["groups.csv"])
    """A table beside the spec with the columns of `by` and a column `contributor`: whose each of their values is."""


Alternatives = Annotated[tuple[Scalar, ...], Field(min_length=1)]


class ContributorsSection(Section):
    """The training data: who supplied which rows."""

    manifest: Text = Field(examples=["example:digits/contributors.parquet"])
    """One row per training image: a Parquet, CSV or JSON Lines file, a folder as Hugging Face `datasets` saves it, or a
    Croissant description (JSON-LD)."""
    split: Text | None = Field(default=None, examples=["train"])
    """Which split of a `datasets` folder, or record set of a Croissant description, where there are several."""
    where: Annotated[dict[str, Scalar | Alternatives], Field(max_length=16)] = Field(
        default={}, examples=[{"split": "train"}]
    )
    """Only rows whose columns have these values; a list holds alternatives."""
    condition: Text = Field(examples=["label"])
    """Column with the class label or prompt."""
    image: Text | None = None
    """Column with the training images, as encoded bytes or as paths beside the manifest; needed by the image proxy."""
    grouping: tuple[GroupingSection, ...] = Field(min_length=1, max_length=16)
    """Each gives a ranking of its own, from the same images."""


class EncoderSection(Section):
    """What turns images into numbers; it runs once per image for all utilities."""

    name: Name = Field(examples=["digits"])
    """That utilities call it by."""
    kind: Literal["classifier", "clip", "backbone", "inception", "lpips", "pixels", "plugin"] = "classifier"
    """`classifier`: any image classifier in Hugging Face layout: features and class probabilities. `clip`: CLIP and its
    kin: features that texts share. `backbone`: any vision model without classes, such as DINOv2. `inception`:
    Inception-v3 as FID is defined on. `lpips`: features whose squared distance is LPIPS. `pixels`: the image itself,
    scaled down. `plugin`: somebody's own."""
    source: Text | None = Field(default=None, examples=["example:digits/classifier"])
    """A folder beside the spec, a hub id, or `example:…`; for `inception` and `lpips` a safetensors file. `pixels` and
    `plugin` need none."""
    revision: Revision | None = None
    """Hub ids: commit, tag or branch. Planning pins it to a commit."""
    labels: Annotated[dict[str, tuple[Text, ...]], Field(min_length=1, max_length=64)] | None = Field(
        default=None, examples=[{"sex": ["a photo of a man", "a photo of a woman"]}]
    )
    """`clip`: attributes, each with the texts that an image is told apart by, without training (zero-shot). The texts
    are the classes that utilities name."""
    size: int = Field(default=64, ge=8, le=512)
    """`pixels`: height and width that images are scaled to."""
    plugin: Text | None = None
    """`plugin`: entry point of the group `surrogateshap.encoders`. Runs only with `--allow-plugin`."""
    options: Annotated[dict[str, Scalar], Field(max_length=64)] = Field(default={})
    """`plugin`: its own options."""


class StopRule(Section):
    """When enough images are there; every key that is given must hold."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    interval_width: float | None = Field(default=None, gt=0)
    """The widest interval of a contributor's value, as a share of the largest value, in every game."""
    stable_top: int | None = Field(default=None, ge=1, lt=2**31)
    """k: each of the k highest contributors is among them with a probability of at least `intervals.level`, in every
    game."""
    gpu_hours: float | None = Field(default=None, gt=0)
    """Hours that generating and encoding the pools' images have taken, on whatever device."""

    @model_validator(mode="after")
    def _something(self) -> "StopRule":
        if self.interval_width is None and self.stable_top is None and self.gpu_hours is None:
            raise ValueError("a stopping rule needs `interval_width`, `stable_top` or `gpu_hours`")
        return self


class BudgetSection(Section):
    """How much is generated and evaluated."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["images", "images_per_contributor"]}})

    images: int | None = Field(default=None, ge=1, lt=2**31)
    """Pool images per proxy, all contributors together. Not beside `images_per_contributor`."""
    images_per_contributor: int | None = Field(default=None, ge=2, lt=2**31)
    """Pool images per contributor of the first grouping; 100 where neither is given."""
    images_per_coalition: int | None = Field(default=None, ge=2, lt=2**31)
    """`fresh` mode only, and counts there alone: new images for each coalition; 256 where it is not given."""
    coalitions: int | None = Field(default=None, ge=4, lt=2**31)
    """Coalitions that are evaluated. Default: all of them up to 14 contributors, else as many as a minute allows."""
    stop_when: StopRule | Annotated[tuple[StopRule, ...], Field(min_length=1, max_length=16)] | None = Field(
        default=None, examples=[{"interval_width": 0.05}]
    )
    """Stops before the budget is spent. A list of rules stops when any one of them holds. Images go where they lower
    the uncertainty most. In `pool` mode only."""

    @property
    def rules(self) -> tuple[StopRule, ...]:
        """Of `stop_when`; none where it isn't given."""
        return (self.stop_when,) if isinstance(self.stop_when, StopRule) else self.stop_when or ()

    @model_validator(mode="after")
    def _one_image_budget(self) -> "BudgetSection":
        if self.images is not None and self.images_per_contributor is not None:
            raise ValueError("give `images` or `images_per_contributor`, not both")
        return self


class EmptySection(Section):
    """What the value of the empty coalition is."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"kind": {"const": "value"}}, "required": ["kind"]},
            "then": {"required": ["value"]},
            "else": {"not": {"required": ["value"]}},
        },
    )

    kind: Literal["unconditional", "value"] = "unconditional"
    """`unconditional`: images of the model without a condition. `value`: the number given here."""
    value: float | Annotated[dict[str, float], Field(max_length=64)] | None = None
    """One number for all utilities, or one per utility name."""

    @model_validator(mode="after")
    def _value_where_needed(self) -> "EmptySection":
        if self.kind == "value" and self.value is None:
            raise ValueError('`kind` is "value", and no `value` is given')
        if self.kind != "value" and self.value is not None:
            raise ValueError('`value` counts only where `kind` is "value"')
        return self


class EstimatorSection(Section):
    """How Shapley values come from coalition values."""

    kind: Literal["auto", EstimatorName] = "auto"
    """`exact` evaluates every coalition (up to 16 contributors); `surrogate` fits a regression and boosted trees to a
    sample of them; `auto` takes exact up to 14 contributors where a minute allows it, else `surrogate`. `kernel`:
    weighted least squares; `permutation`: mean gains over orderings; `leave_one_out`: what is lost without each, which
    is no Shapley value; `surrogateshap_paper`: the published recipe, which needs xgboost."""
    interactions: bool = False
    """Pairwise Shapley interactions too; `exact` and `surrogate` know them."""
    trees: int = Field(default=600, ge=1, le=100_000)
    """Boosting rounds."""
    learning_rate: float = Field(default=0.05, gt=0)
    """Weight of each tree."""
    leaves: int = Field(default=15, ge=2, le=131_072)
    """Most leaves of a tree."""
    min_child_samples: int = Field(default=5, ge=1, lt=2**31)
    """Fewest coalitions in a leaf."""
    subsample: float = Field(default=0.8, gt=0, le=1)
    """Share of rows and of columns that each tree sees."""


class IntervalsSection(Section):
    """How sure the values are."""

    level: float = Field(default=0.9, gt=0, lt=1)
    """Coverage of the intervals."""
    resamples: int = Field(default=200, ge=20, le=100_000)
    """Bootstrap resamples of the pool's images."""
    top: int = Field(default=5, ge=1, lt=2**31)
    """k: how probable it is that a contributor is among the k highest is reported."""


class FidelitySection(Section):
    """How far the proxy games are from retraining: coalitions that were really retrained."""

    anchors: Text | None = Field(default=None, examples=["retrained.parquet"])
    """A table of retrained coalitions: a 0/1 column per contributor, and `value` or `value.UTILITY` columns."""
    grouping: Name | None = None
    """Grouping whose contributors the table names. Default: the first."""
    kind: Literal["retrained", "fine_tuned"] = "retrained"
    """How the anchors' models were made. `fine_tuned`: briefly, from the frozen model; their level is biased."""
    trainer: tuple[Text, ...] | None = Field(
        default=None,
        max_length=64,
        examples=[["{python}", "train.py", "{rows}", "{out}"]],
        json_schema_extra=EXECUTION,
    )
    """Command that trains one coalition's model, run in the spec's folder without a shell. `{rows}`, `{out}` and
    `{python}` in it stand for its rows, for the folder that the model goes to and for this Python. Runs only with
    `--allow-commands`."""


class FlagsSection(Section):
    """Cheap signs of bad data, beside the ranking."""

    denoising_loss: bool = False
    """Each contributor's denoising loss under the frozen model, with and without its conditions."""
    images_per_contributor: int = Field(default=100, ge=2, lt=2**31)
    """Rows of each contributor that are looked at, at most."""


class PayoutSection(Section):
    """Shares for payment, from Shapley values."""

    amount: float | None = Field(default=None, ge=0.01, le=1e12)
    """What is shared out, in any currency, with two decimals at most. Without it shares alone are given."""
    minimum: float = Field(default=0.0, ge=0)
    """Least that is paid: of `amount`, or of 1 where there is none. Who would get less gets nothing."""
    bound: Literal["value", "low"] = "value"
    """`value`: shares follow the Shapley values; `low`: the lower ends of their intervals: what is sure."""


DeviceList = Annotated[
    tuple[Annotated[str, Field(pattern=r"^(cpu|mps|cuda:[0-9]{1,3})$")], ...], Field(min_length=1, max_length=1024)
]


_Named = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._,&|-]{0,127}$")]


class SlurmSection(Section):
    """What each task of a Slurm array asks for, where `backend` is `slurm`."""

    partition: _Named | None = Field(default=None, json_schema_extra=EXECUTION)
    """The partition, or several with commas between them. Default: the cluster's own."""
    account: _Named | None = Field(default=None, json_schema_extra=EXECUTION)
    """What it is charged to."""
    qos: _Named | None = Field(default=None, json_schema_extra=EXECUTION)
    """Quality of service."""
    constraint: _Named | None = Field(default=None, json_schema_extra=EXECUTION)
    """Features that nodes must have."""
    gpus: int = Field(default=1, ge=0, le=64, json_schema_extra=EXECUTION)
    """GPUs of a task, each with a process of its own. 0: the CPU."""
    cpus: int | None = Field(default=None, ge=1, le=4096, json_schema_extra=EXECUTION)
    """CPU cores of a task. Default: the cluster's own."""
    memory_gb: float | None = Field(default=None, gt=0, le=1_000_000, json_schema_extra=EXECUTION)
    """Memory of a task. Default: the cluster's own."""
    hours: float = Field(default=4.0, gt=0, le=8760, json_schema_extra=EXECUTION)
    """After which a task is ended. What it made is kept, and the rest given to another."""


class ExecutionSection(Section):
    """How it is computed; none of this changes what is computed."""

    devices: Literal["auto", "cpu", "cuda", "mps"] | DeviceList = Field(default="auto", json_schema_extra=EXECUTION)
    """`auto`: every GPU there is, else the CPU. `cuda`: every NVIDIA GPU. A list names them, such as `["cuda:0"]`."""
    backend: Literal["local", "ray", "slurm"] = Field(default="local", json_schema_extra=EXECUTION)
    """`local`: processes of this machine. `ray`: actors of a Ray cluster, whose address is in `RAY_ADDRESS`; the
    extra `ray`. `slurm`: an array of Slurm tasks, which make and encode images; the extra `slurm`."""
    workers: int | None = Field(default=None, ge=1, le=1024, json_schema_extra=EXECUTION)
    """Processes that make images, each on one device, the devices in turn. Default: one for each device; on a Ray
    cluster one for each of its GPUs. With Slurm: tasks of the array, 8 by default."""
    batch_size: int = Field(default=256, ge=1, lt=2**31, json_schema_extra=EXECUTION)
    """Images per shard that an interrupted run doesn't have to repeat, and most per batch: those of a model are halved
    until they fit into the device's memory."""
    threads: int | None = Field(default=None, ge=1, le=4096, json_schema_extra=EXECUTION)
    """CPU threads of models and of linear algebra. Default: the libraries' own choice."""
    compile: bool = Field(default=False, json_schema_extra=EXECUTION)
    """Compiles the denoiser first: minutes before the first image, then faster ones. For long runs on a GPU."""
    slurm: SlurmSection = SlurmSection()


class Spec(Section):
    """A whole spec."""

    spec_version: int = Field(ge=SPEC_VERSION, le=SPEC_VERSION, examples=[SPEC_VERSION])
    """Of the spec's format; 1 is the only one so far."""
    name: Name = Field(examples=["my-data"], json_schema_extra=COSMETIC)
    """Of the run that is made from it."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Everything random derives from it."""
    model: ModelSection
    """The frozen model."""
    proxy: ProxySection = ProxySection()
    """How a coalition's images come from the model."""
    sampling: SamplingSection = SamplingSection()
    """How the model is sampled."""
    contributors: ContributorsSection
    """Whose data it is."""
    encoder: tuple[EncoderSection, ...] = Field(default=(), max_length=32)
    """What looks at the images."""
    utility: tuple[UtilitySection, ...] = Field(min_length=1, max_length=64)
    """What worth means: each utility is a game, and a ranking, of its own."""
    budget: BudgetSection = BudgetSection()
    """How much is generated and evaluated."""
    empty: EmptySection = EmptySection()
    """What the empty coalition is worth."""
    estimator: EstimatorSection = EstimatorSection()
    """How Shapley values come from coalition values."""
    intervals: IntervalsSection = IntervalsSection()
    """How sure the values are."""
    fidelity: FidelitySection = FidelitySection()
    """How far the proxy games are from retraining."""
    flags: FlagsSection = FlagsSection()
    """Cheap signs of bad data."""
    payout: PayoutSection | None = None
    """Shares for payment; none unless this section is there."""
    compare: CompareSection = CompareSection()
    """Other methods beside the run's, for `surrogateshap compare`; changes no result."""
    execution: ExecutionSection = ExecutionSection()
    """How it is computed; changes no result."""
