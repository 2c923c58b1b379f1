"""Which estimator a game gets and how many coalitions it is evaluated on, by what one evaluation costs."""

from dataclasses import dataclass

from surrogateshap.games.coalitions import coalitions_drawn
from surrogateshap.games.finite import PARTS
from surrogateshap.spec.model import EstimatorName, Spec
from surrogateshap.spec.utilities import (
    AestheticUtility,
    AssociationUtility,
    ClipScoreUtility,
    ClusterUtility,
    FrechetUtility,
    InceptionUtility,
    KernelUtility,
    ManifoldUtility,
    OwnImageUtility,
    PairwiseUtility,
    Quantile,
    ScoreUtility,
    StructureUtility,
    UtilitySection,
    VendiUtility,
)
from surrogateshap.units import duration

EXACT_BY_DEFAULT = 14
FRESH_COALITIONS = 300
"""As published; and of `surrogateshap_paper` on a pool."""
SECONDS = 60.0
"""What a game's evaluation may take where nobody says how many coalitions. The fit takes about as long at most: 59 s on
one core for 32,000 coalitions of 258 contributors with interactions and the bootstrap."""
_SIZES = (32_000, 16_000, 8_000, 4_000, 2_000, 1_000)
_MEASURED = 300
"""Contributors up to which the accuracy is known."""
_UNKNOWN_FEATURES = 1_024


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation of v takes."""

    seconds: float
    guessed: bool = False
    """Whether the number of features is not known."""
    times: int = 1
    """Evaluations that one value takes: more where a finite pool's bias is taken off by leaving images out."""

    @property
    def value_seconds(self) -> float:
        """What one coalition's value takes."""
        return self.seconds * self.times


@dataclass(frozen=True)
class Choice:
    """How one game's values are estimated."""

    estimator: EstimatorName
    coalitions: int
    """Evaluated: all of them where the estimator is `exact`, else those drawn, and N."""
    because: str


def evaluation(utility: UtilitySection, n: int, images: int, features: int | None, classes: int) -> Evaluation:
    """Seconds per coalition on one core, for n contributors on a pool of `images`; within a factor of two or so.

    Measured at 20 to 258 contributors, up to 25,800 images and 16 to 2,048 features. A mixture of contributors'
    statistics costs their number; then come the distinct scores of a quantile, the classes of an inception score, the
    clusters of an entropy, a kernel distance's coordinates, one per contributor, structural similarity between every
    two, and the eigenvalues of a Fréchet distance or a Vendi score: the features' number to the third power. Coverage
    and recall go by the number of reference images, which is taken to be the pool's. What comes before the first
    coalition isn't counted: for structural similarity it takes up to half a minute with 64 pixels.
    """
    d = features or _UNKNOWN_FEATURES
    rest, by_features = 0.0, False
    match utility:
        case ScoreUtility() | AestheticUtility() | ClipScoreUtility() | OwnImageUtility():
            rest = images * (5 + 0.04 * n) if isinstance(utility.statistic, Quantile) else 0.0
        case InceptionUtility():
            rest = 25.0 * classes
        case ClusterUtility():
            rest = 20.0 * utility.clusters
        case KernelUtility():
            rest = 0.3 * n**2
        case StructureUtility():
            rest = 1.0 * n**2
        case PairwiseUtility():
            rest, by_features = d * (5 + 0.05 * n), True
        case FrechetUtility():
            rest, by_features = 0.13 * d**3 + (50 + 0.2 * n) * d**2, True
        case VendiUtility():
            size = min(d, images)
            eigenvalues = 0.0 if utility.order == 2 else 0.11 * size**3 + 22 * size**2
            rest, by_features = eigenvalues + (8 + 0.2 * n) * size**2, True
        case ManifoldUtility(kind="coverage"):
            rest = images * (20 + 0.05 * n)
        case ManifoldUtility(kind="recall"):
            rest = images * (images + 0.1 * n)
        case _:
            pass
    times = 1 + PARTS if _curved(utility) else 1
    return Evaluation((10 * n + rest) * 1e-9, by_features and features is None, times)


def _curved(utility: UtilitySection) -> bool:
    """As the utilities themselves say (`Utility.curved`)."""
    match utility:
        case (
            FrechetUtility() | InceptionUtility() | VendiUtility() | ClusterUtility() | ManifoldUtility(kind="coverage")
        ):
            return True
        case AssociationUtility():
            return utility.measure == "mutual_information"
        case _:
            return False


def choose(spec: Spec, n: int, cost: Evaluation) -> Choice:
    """The estimator and the number of coalitions of a game with n contributors.

    What the spec says counts. Else every coalition is evaluated up to 14 contributors, and beyond as many as accuracy
    asks for on simulated games (bench/RESULTS.md, "By number of coalitions"): 4,000 up to 32 contributors, 16,000 up to
    64, 32,000 up to 128, and 16,000 beyond, where more would take the fit too long; fewer, but 1,000 at least, where
    evaluating these takes longer than a minute.
    """
    asked = spec.budget.coalitions
    estimator = _estimator(spec, n, cost)
    if n == 1:
        return Choice(estimator, 2 if estimator == "exact" else 1, "there is one contributor")
    if estimator == "exact":
        return Choice(estimator, 2**n, "all there are" + _time(2**n, cost))
    if estimator == "leave_one_out":
        return Choice(estimator, n + 1, "all, and all but one" + _time(n + 1, cost))
    if asked is not None:
        drawn, because = asked, "as `budget.coalitions` asks"
    elif spec.sampling.mode == "fresh":
        drawn, because = FRESH_COALITIONS, "each has images of its own"
    elif estimator == "surrogateshap_paper":
        drawn, because = FRESH_COALITIONS, "as published"
    else:
        drawn, because = _by_cost(n, cost)
    drawn = coalitions_drawn(estimator, n, drawn)
    return Choice(estimator, drawn + 1, because + _time(drawn, cost))


def _estimator(spec: Spec, n: int, cost: Evaluation) -> EstimatorName:
    kind, asked = spec.estimator.kind, spec.budget.coalitions
    if kind != "auto":
        return kind
    if spec.sampling.mode == "fresh":
        return "surrogate"
    if asked is not None:
        return "exact" if 2**n <= asked else "surrogate"
    affordable = n <= EXACT_BY_DEFAULT and (2**n <= _SIZES[-1] or 2**n * cost.value_seconds <= SECONDS)
    return "exact" if affordable else "surrogate"


def _by_cost(n: int, cost: Evaluation) -> tuple[int, str]:
    wanted = 4_000 if n <= 32 else 32_000 if 64 < n <= 128 else 16_000
    for size in _SIZES:
        if size == wanted and size * cost.value_seconds <= SECONDS:
            return size, f"enough for {n:,} contributors" if n <= _MEASURED else "as many as the fit can take"
        if size < wanted and size * cost.value_seconds <= SECONDS:
            return size, "as many as a minute allows"
    return _SIZES[-1], "the fewest that make sense"


def _time(coalitions: int, cost: Evaluation) -> str:
    """What they take, where that is worth a word."""
    seconds = coalitions * cost.value_seconds
    if seconds < SECONDS / 2:
        return ""
    return f"; about {duration(seconds)}" + (", if it has some 1,000 features" if cost.guessed else "")


def bootstrap_seconds(n: int, resamples: int, cost: Evaluation) -> float:
    """What the intervals' resampled pools take to evaluate, on the coalitions that `image_draws` looks at."""
    evaluations = min(2**n, max(128, 6 * n) + 2) if n < 30 else 6 * n + 2
    return resamples * evaluations * cost.seconds
