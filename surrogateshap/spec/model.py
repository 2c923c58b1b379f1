"""The spec as pydantic models: strict, frozen, every key documented. `surrogateshap schema` is made from this.

Keys are of three sorts, marked in the field's `json_schema_extra`: unmarked ones change results and are hashed into the
plan; `execution` ones change how results are computed; `cosmetic` ones change neither.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""A name of the user's own making: lower case letters, digits, `.`, `_`, `-`; at most 64 characters."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
ClassName = Annotated[int, Field(ge=0, lt=2**31)] | Text
"""A class of a classifier, by name or by index from 0."""

EstimatorName = Literal["surrogate", "exact", "kernel", "permutation", "leave_one_out", "surrogateshap_paper"]
"""Every way there is from coalition values to contributors' values."""

SPEC_VERSION = 1
COSMETIC: dict[str, Any] = {"sort": "cosmetic"}
EXECUTION: dict[str, Any] = {"sort": "execution"}


class Section(BaseModel):
    """Base of every table of a spec: unknown keys are errors, values are never coerced, nothing changes afterwards."""

    model_config = ConfigDict(
        defer_build=True, extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ModelSection(Section):
    """The frozen model."""

    source: Text = Field(examples=["example:digits/model"])
    """A folder in diffusers layout, beside the spec, or `example:…` for one that ships with surrogateshap."""
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


class ContributorsSection(Section):
    """The training data: who supplied which rows."""

    manifest: Text = Field(examples=["example:digits/contributors.parquet"])
    """A Parquet file with one row per training image."""
    condition: Text = Field(examples=["label"])
    """Column with the class label or prompt."""
    image: Text | None = None
    """Column with the training images, as encoded bytes; needed by the image proxy."""
    grouping: tuple[GroupingSection, ...] = Field(min_length=1, max_length=16)
    """Each gives a ranking of its own, from the same images."""


class EncoderSection(Section):
    """A network that turns images into features and class probabilities; it runs once per image for all utilities."""

    name: Name = Field(examples=["digits"])
    """That utilities call it by."""
    kind: Literal["classifier"] = "classifier"
    """`classifier`: any image classifier in Hugging Face layout."""
    source: Text = Field(examples=["example:digits/classifier"])
    """A folder beside the spec, or `example:…`."""


class Quantile(Section):
    """Statistic: the q-quantile over images."""

    quantile: float = Field(gt=0, lt=1, examples=[0.9])
    """q: 0.1 looks at the worst tenth of the images, 0.9 at the best."""


class Above(Section):
    """Statistic: the share of images whose score is at least the threshold."""

    above: float = Field(examples=[0.5])
    """The threshold."""


class ClassScore(Section):
    """Score: the probability of one named class."""

    class_: ClassName = Field(alias="class", examples=[3])
    """Index from 0, or name, of the class."""


Statistic = Literal["mean"] | Quantile | Above


class UtilityBase(Section):
    """What every utility has."""

    name: Name = Field(examples=["quality"])
    """Of the utility; every utility has another."""
    encoder: Name | None = None
    """Name of an `[[encoder]]`. Default: the only one."""


class ScoreUtility(UtilityBase):
    """Mean, quantile or exceedance rate of a classifier's score over the images."""

    kind: Literal["score"]
    """`score`: a statistic of the classifier's score."""
    score: Literal["confidence", "condition"] | ClassScore = "confidence"
    """`confidence`: probability of the likeliest class. `condition`: probability of the class that the image was asked
    to show. `{ class = … }`: probability of that class."""
    statistic: Statistic = "mean"
    """`mean`, `{ quantile = … }` or `{ above = … }`."""


class RateUtility(UtilityBase):
    """Share of images that the classifier assigns to one class."""

    kind: Literal["rate"]
    """`rate`: share of images of one class."""
    class_: ClassName = Field(alias="class", examples=[3])
    """Index from 0, or name, of the class."""


class FrechetUtility(UtilityBase):
    """Minus the Fréchet distance between the images' features and a reference's: higher is better."""

    kind: Literal["frechet"]
    """`frechet`: closeness to a reference."""
    reference: Text = "manifest"
    """`manifest`: the manifest's own images; or a Parquet file with an image column of the same name."""


class KernelUtility(UtilityBase):
    """Minus the kernel distance (KID: unbiased squared maximum mean discrepancy) to a reference: higher is better."""

    kind: Literal["kernel"]
    """`kernel`: closeness to a reference, without the bias that a Fréchet distance has on few images."""
    reference: Text = "manifest"
    """`manifest`: the manifest's own images; or a Parquet file with an image column of the same name."""


class InceptionUtility(UtilityBase):
    """Inception score: exp of the mean divergence of an image's class probabilities from their average."""

    kind: Literal["inception"]
    """`inception`: clear images of many classes."""


class PairwiseUtility(UtilityBase):
    """Mean distance between two images' features: diversity."""

    kind: Literal["pairwise"]
    """`pairwise`: how different the images are."""
    metric: Literal["squared_euclidean", "cosine"] = "squared_euclidean"
    """Distance between two images' features."""


UtilitySection = Annotated[
    ScoreUtility | RateUtility | FrechetUtility | KernelUtility | InceptionUtility | PairwiseUtility,
    Field(discriminator="kind"),
]


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


class ExecutionSection(Section):
    """How it is computed; none of this changes what is computed."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", json_schema_extra=EXECUTION)
    """`auto` takes a GPU where there is one."""
    batch_size: int = Field(default=256, ge=1, lt=2**31, json_schema_extra=EXECUTION)
    """Images per batch, and per shard that an interrupted run doesn't have to repeat."""
    threads: int | None = Field(default=None, ge=1, le=4096, json_schema_extra=EXECUTION)
    """CPU threads of models and of linear algebra. Default: the libraries' own choice."""


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
    execution: ExecutionSection = ExecutionSection()
    """How it is computed; changes no result."""
