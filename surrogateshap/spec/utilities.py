"""Utilities: what "worth" may mean, one table of a spec each."""

from typing import Annotated, Literal

from pydantic import Field

from surrogateshap.spec.section import ClassName, Name, Scalar, Section, Text


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


class AskedFor(Section):
    """Attribute: whether the image was asked to show one of these conditions."""

    conditions: tuple[Text, ...] = Field(min_length=1, max_length=10_000, examples=[["melanoma"]])
    """Class labels or prompts, as they stand in the manifest."""


Attribute = ClassScore | AskedFor
"""What an image shows, or was asked to show."""


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
    """`manifest`: the manifest's own images; a Parquet file with an image column of the same name; a folder of images;
    or stored statistics, a `.npz` or `.safetensors` file with `mu` and `sigma`."""


class Gaussian(Section):
    """Kernel: exp(−|x − y|² / 2σ²) of features scaled to length 1."""

    gaussian: float = Field(gt=0, examples=[10.0])
    """σ; CMMD takes 10."""


class KernelUtility(UtilityBase):
    """Minus the kernel distance (KID: unbiased squared maximum mean discrepancy) to a reference: higher is better."""

    kind: Literal["kernel"]
    """`kernel`: closeness to a reference, without the bias that a Fréchet distance has on few images."""
    reference: Text = "manifest"
    """`manifest`: the manifest's own images; a Parquet file with an image column of the same name; or a folder of
    images."""
    kernel: Literal["polynomial"] | Gaussian = "polynomial"
    """`polynomial`: KID's. `{ gaussian = … }`: CMMD's, on length-normalised features."""


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


class AestheticUtility(UtilityBase):
    """A learned score of CLIP features: mean, quantile or exceedance rate over the images."""

    kind: Literal["aesthetic"]
    """`aesthetic`: how well people would rate the images."""
    head: Text = Field(examples=["aesthetic.safetensors"])
    """A safetensors file of linear layers, applied to image features of length 1 in the order of their names."""
    statistic: Statistic = "mean"
    """`mean`, `{ quantile = … }` or `{ above = … }`."""


class ClipScoreUtility(UtilityBase):
    """Agreement of images with the prompts that they were made from."""

    kind: Literal["clip_score"]
    """`clip_score`: 100 × cosine of image and prompt, at least 0."""
    statistic: Statistic = "mean"
    """`mean`, `{ quantile = … }` or `{ above = … }`."""


class OwnImageUtility(UtilityBase):
    """Minus the distance between an image and a training image of its own row: higher is closer."""

    kind: Literal["own_image"]
    """`own_image`: closeness to the row that an image stands for; with an `lpips` encoder, minus LPIPS."""
    metric: Literal["squared_euclidean", "cosine"] = "squared_euclidean"
    """Distance between two images' features."""
    statistic: Statistic = "mean"
    """`mean`, `{ quantile = … }` or `{ above = … }`."""


class VendiUtility(UtilityBase):
    """Vendi score: the effective number of different images."""

    kind: Literal["vendi"]
    """`vendi`: diversity, counted in images."""
    order: float = Field(default=1.0, gt=0)
    """q: below 1 rare images count more, above 1 less; 1 is the published score."""


class StructureUtility(UtilityBase):
    """1 minus the mean multi-scale structural similarity (MS-SSIM) of two images: diversity."""

    kind: Literal["ms_ssim"]
    """`ms_ssim`: how different the images are in structure; needs a `pixels` encoder."""


class ClusterUtility(UtilityBase):
    """Entropy of how the images spread over clusters of a reference's features, in nats."""

    kind: Literal["cluster_entropy"]
    """`cluster_entropy`: evenness over kinds of images."""
    clusters: int = Field(default=20, ge=2, le=1_000)
    """k of k-means."""
    reference: Text = "manifest"
    """What the clusters are found in. `manifest`: the manifest's own images; a Parquet file with an image column of the
    same name; or a folder of images."""


class ManifoldUtility(UtilityBase):
    """How the images and a reference lie in each other's neighbourhoods."""

    kind: Literal["precision", "recall", "density", "coverage"]
    """`precision`: share of images near a reference image; `recall`: share of the reference near an image; `density`,
    `coverage`: the same, sturdier against outliers."""
    reference: Text = "manifest"
    """`manifest`: the manifest's own images; a Parquet file with an image column of the same name; or a folder of
    images."""
    neighbours: int = Field(default=5, ge=1, le=100)
    """k: a neighbourhood reaches to the k-th nearest image."""


class AssociationUtility(UtilityBase):
    """How strongly two attributes go together: a spurious correlation, for audits."""

    kind: Literal["association"]
    """`association`: between two attributes of the images."""
    between: tuple[Attribute, ...] = Field(
        min_length=2, max_length=2, examples=[[{"class": "male"}, {"conditions": ["melanoma"]}]]
    )
    """The two. `{ class = … }`: what the classifier sees; `{ conditions = […] }`: what the image was asked to show."""
    second_encoder: Name | None = None
    """Name of the `[[encoder]]` that sees the second attribute. Default: the one that sees the first."""
    measure: Literal["difference", "phi", "mutual_information"] = "phi"
    """`difference`: rate of the first attribute where the second holds, less that where it doesn't. `phi`: their
    correlation. `mutual_information`: in nats, without a sign."""


class PluginUtility(UtilityBase):
    """Somebody's own utility."""

    kind: Literal["plugin"]
    """`plugin`: an entry point of the group `surrogateshap.utilities`."""
    plugin: Text = Field(examples=["sharpness"])
    """Its name. Runs only with `--allow-plugin`."""
    options: Annotated[dict[str, Scalar], Field(max_length=64)] = Field(default={})
    """Its own options."""


UtilitySection = Annotated[
    ScoreUtility
    | RateUtility
    | FrechetUtility
    | KernelUtility
    | InceptionUtility
    | PairwiseUtility
    | AestheticUtility
    | ClipScoreUtility
    | OwnImageUtility
    | VendiUtility
    | StructureUtility
    | ClusterUtility
    | ManifoldUtility
    | AssociationUtility
    | PluginUtility,
    Field(discriminator="kind"),
]
WithReference = FrechetUtility | KernelUtility | ClusterUtility | ManifoldUtility
"""Utilities that compare with reference images."""
