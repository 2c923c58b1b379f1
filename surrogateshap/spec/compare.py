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
    """Of projected gradients. The kernel takes 8 bytes times the square of it, or of the number of training rows where
    these are fewer."""
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


class CompareSection(Section):
    """Other methods on the same contributors and utilities, for `surrogateshap compare`; changes no result of a run."""

    methods: Methods | None = Field(default=None, json_schema_extra=EXECUTION)
    """Which, in this order. Default: all that can run here."""
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
