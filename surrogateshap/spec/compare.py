"""The spec's [compare]: which methods stand beside the run's own values, and their own settings.

None of it changes a run: it is outside the plan's identity, and counts in the keys of what methods keep.
"""

from typing import Annotated, Literal

from pydantic import Field

from surrogateshap.spec.section import EXECUTION, Section

MethodName = Literal[
    "prompt_proxy",
    "image_proxy",
    "surrogateshap_paper",
    "leave_one_out",
    "kernelshap",
    "permutation",
    "banzhaf",
    "pixel_similarity",
    "clip_similarity",
    "encoder_similarity",
    "own_utility",
    "nda",
    "trak",
    "d_trak",
    "journey_trak",
    "fine_tuning",
    "sparse_fine_tuning",
    "group_unlearning",
    "mirrored_unlearning",
]
"""Every method that `surrogateshap compare` knows."""

Methods = Annotated[tuple[MethodName, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True})]


class PublishedSection(Section):
    """`surrogateshap_paper`."""

    coalitions: int = Field(default=300, ge=4, lt=2**31, json_schema_extra=EXECUTION)
    """Drawn, each with images of its own."""
    images: int = Field(default=256, ge=2, lt=2**31, json_schema_extra=EXECUTION)
    """For each coalition."""


class SimilaritySection(Section):
    """`pixel_similarity`, `clip_similarity` and `encoder_similarity`: cosines of generated and training images."""

    rows: Literal["mean", "max"] = Field(default="mean", json_schema_extra=EXECUTION)
    """A contributor's similarity to an image: the mean over its rows, or that of the most similar row."""
    images: Literal["mean", "influence"] = Field(default="mean", json_schema_extra=EXECUTION)
    """Generated images count alike, whatever the utility, or by how much each of them raises it."""


NoiseLevel = Annotated[int, Field(ge=1, lt=1000)]


class NdaSection(Section):
    """`nda`: patches of generated images weighed against those of training images. Defaults are the paper's (Zhao et
    al. 2025, arXiv 2510.14269), for images of 32 pixels.
    """

    timesteps: Annotated[tuple[NoiseLevel, ...], Field(min_length=1, max_length=100)] = Field(
        default=(100,), json_schema_extra=EXECUTION
    )
    """Levels of noise, of 1,000 on the linear schedule; scores are their mean."""
    side: int = Field(default=32, ge=4, le=512, json_schema_extra=EXECUTION)
    """Pixels of the longer side of images, to which larger ones are scaled down first. The cost grows with its fourth
    power."""
    patch: int = Field(default=7, ge=1, le=63, json_schema_extra=EXECUTION)
    """Pixels of a patch's side."""
    coarse_patch: int = Field(default=14, ge=2, le=126, multiple_of=2, json_schema_extra=EXECUTION)
    """Pixels of the side of patches of the second scale, which are scaled down to half."""
    coarse_share: float = Field(default=0.5, ge=0, le=1, json_schema_extra=EXECUTION)
    """Of the second scale in the scores; with 0 or 1 only one of them is computed."""
    top: int = Field(default=100, ge=1, lt=2**31, json_schema_extra=EXECUTION)
    """Patches of each training image that count, those that weigh most."""
    conditions: Literal["all", "same"] = Field(default="all", json_schema_extra=EXECUTION)
    """Against which training images: all, as published, or those of the generated image's own condition, as a model's
    denoiser is conditioned."""


class TrakSection(Section):
    """`trak` and `d_trak`: projected gradients and a ridge kernel. Defaults are those of Zheng et al. 2024 (arXiv
    2311.00500), who compare them for diffusion models, but for `projection` and `damping`.
    """

    timesteps: int = Field(default=10, ge=1, le=1000, json_schema_extra=EXECUTION)
    """Over which gradients are averaged, at equal distances; the paper has 10 and 100."""
    dimension: int = Field(default=32_768, ge=64, le=131_072, json_schema_extra=EXECUTION)
    """Of projected gradients. The kernel takes up to 32 bytes times the square of it, or of the number of training rows
    where these are fewer."""
    projection: Literal["sparse", "rademacher", "normal"] = Field(default="sparse", json_schema_extra=EXECUTION)
    """Random signs for four places per parameter, for all, as in TRAK, or normal numbers, as in D-TRAK: equally exact,
    but the latter two cost `dimension` operations per parameter and row."""
    damping: float = Field(default=0.1, gt=0, le=1e6, json_schema_extra=EXECUTION)
    """λ in units of the kernel's mean eigenvalue. The papers choose it by retrained models, for each data set."""
    rank: int = Field(default=128, ge=0, le=4096, json_schema_extra=EXECUTION)
    """Of the LoRA whose gradients are taken where the model is a pipeline; 0 for all weights of its denoiser."""


class JourneySection(TrakSection):
    """`journey_trak`: as `trak`, with generated images replaced by their trajectories (Georgiev et al. 2023)."""

    steps: int = Field(default=50, ge=1, le=1000, json_schema_extra=EXECUTION)
    """Of the sampler along whose trajectory gradients are averaged."""


class TrainingSection(Section):
    """How a method trains each of its models."""

    steps: int = Field(default=100, ge=1, le=1_000_000, json_schema_extra=EXECUTION)
    """Optimizer steps of each model."""
    batch: int = Field(default=64, ge=1, le=65_536, json_schema_extra=EXECUTION)
    """Rows per step, taken at once as far as `execution.batch_size` allows."""
    learning_rate: float = Field(default=1e-4, gt=0, le=1, json_schema_extra=EXECUTION)
    """Of AdamW, without weight decay."""
    schedule: Literal["constant", "cosine"] = Field(default="constant", json_schema_extra=EXECUTION)
    """Of the learning rate: as it is, or a short rise and half a cosine down to zero."""
    drop_condition: float = Field(default=0.1, ge=0, lt=1, json_schema_extra=EXECUTION)
    """Share of rows that are trained without their condition, for classifier-free guidance."""
    rank: int = Field(default=16, ge=1, le=4_096, json_schema_extra=EXECUTION)
    """Of the LoRA that is trained of a pipeline; class-conditional UNets are trained as a whole."""


class FineTuningSection(TrainingSection):
    """`fine_tuning`: the frozen model, fine-tuned on each coalition's rows."""

    coalitions: int = Field(default=100, ge=4, lt=2**31, json_schema_extra=EXECUTION)
    """Drawn, each a model; all where there are no more."""
    anchors: bool = Field(default=False, json_schema_extra=EXECUTION)
    """Whether the retrained coalitions get a model too, to see how well v agrees; not part of the method's cost."""
    schedule: Literal["constant", "cosine"] = Field(default="cosine", json_schema_extra=EXECUTION)
    """Of the learning rate: as it is, or a short rise and half a cosine down to zero."""


class SparseFineTuningSection(TrainingSection):
    """`sparse_fine_tuning`: a pruned model, fine-tuned on each coalition's rows."""

    coalitions: int = Field(default=500, ge=4, lt=2**31, json_schema_extra=EXECUTION)
    """Drawn, each a model; all where there are no more."""
    anchors: bool = Field(default=False, json_schema_extra=EXECUTION)
    """Whether the retrained coalitions get a model too, to see how well v agrees; not part of the method's cost."""
    steps: int = Field(default=1_000, ge=1, le=1_000_000, json_schema_extra=EXECUTION)
    """Optimizer steps of each model."""
    batch: int = Field(default=128, ge=1, le=65_536, json_schema_extra=EXECUTION)
    """Rows per step, taken at once as far as `execution.batch_size` allows."""
    pruned: float = Field(default=0.3, ge=0, lt=1, json_schema_extra=EXECUTION)
    """Share of each layer's weights, the smallest, that are set to zero and stay so; of a LoRA, of its ranks."""
    recovery_steps: int = Field(default=10_000, ge=0, le=10_000_000, json_schema_extra=EXECUTION)
    """Of the pruned model on all rows, before coalitions; as many before pruning where a LoRA is trained."""


class GroupUnlearningSection(TrainingSection):
    """`group_unlearning`: the frozen model, made to forget each contributor."""

    steps: int = Field(default=200, ge=1, le=1_000_000, json_schema_extra=EXECUTION)
    """Optimizer steps of each model."""
    learning_rate: float = Field(default=1e-5, gt=0, le=1, json_schema_extra=EXECUTION)
    """Of AdamW, without weight decay."""
    forget: float = Field(default=0.03, ge=0, le=100, json_schema_extra=EXECUTION)
    """Weight of the loss on the forgotten rows beside that on the others."""
    neighbours: int = Field(default=10, ge=1, le=1_000, json_schema_extra=EXECUTION)
    """Rows of others that a forgotten row is led to instead."""
    candidates: int = Field(default=4_096, ge=1, le=1_000_000, json_schema_extra=EXECUTION)
    """Rows of others among which these are looked for, evenly spread, at most."""


class MirroredUnlearningSection(Section):
    """`mirrored_unlearning`: the frozen model, made to forget its own images, and what that does to the rows."""

    rank: int = Field(default=16, ge=1, le=4_096, json_schema_extra=EXECUTION)
    """Of the LoRA in whose weights a pipeline forgets; class-conditional UNets forget in all of theirs."""
    levels: int = Field(default=10, ge=1, le=1_000, json_schema_extra=EXECUTION)
    """Of noise, at which losses and gradients are taken."""
    radius: float = Field(default=0.01, gt=0, le=10, json_schema_extra=EXECUTION)
    """Length of the step: by which share of itself the loss on the generated images changes, on average."""
    damping: float = Field(default=0.1, gt=0, le=1_000, json_schema_extra=EXECUTION)
    """Added to the diagonal of the Fisher information, in units of its mean."""


class CompareSection(Section):
    """Other methods on the same contributors and utilities, for `surrogateshap compare`; changes no result of a run."""

    methods: Methods | None = Field(default=None, json_schema_extra=EXECUTION)
    """Which, in this order. Default: all that train nothing, take no gradients and make few images."""
    images: int = Field(default=400, ge=2, lt=2**31, json_schema_extra=EXECUTION)
    """Images of the frozen model that attribution methods explain, and that each model a method trains is evaluated
    on."""
    rows_per_contributor: int = Field(default=200, ge=1, lt=2**31, json_schema_extra=EXECUTION)
    """Training images of each contributor that similarity and `own_utility` look at, at most."""
    coalitions: int = Field(default=2048, ge=4, lt=2**31, json_schema_extra=EXECUTION)
    """That `kernelshap`, `permutation` and `banzhaf` evaluate in the run's own games."""
    surrogateshap_paper: PublishedSection = PublishedSection()
    similarity: SimilaritySection = SimilaritySection()
    nda: NdaSection = NdaSection()
    trak: TrakSection = TrakSection()
    d_trak: TrakSection = TrakSection()
    journey_trak: JourneySection = JourneySection()
    fine_tuning: FineTuningSection = FineTuningSection()
    sparse_fine_tuning: SparseFineTuningSection = SparseFineTuningSection()
    group_unlearning: GroupUnlearningSection = GroupUnlearningSection()
    mirrored_unlearning: MirroredUnlearningSection = MirroredUnlearningSection()
