"""A digits run as canned data, and a source that plays it: no model, no store, no clock."""

import io
import math
from collections.abc import Iterable, Sequence
from threading import Event as Flag

import numpy as np
from PIL import Image
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.library import About, Listing
from surrogateshap_tui.made import Made, Provenance
from surrogateshap_tui.source import SpecText

from surrogateshap.errors import InterruptedRun, RunError, SurrogateShapError
from surrogateshap.estimate.by_size import SizeValue
from surrogateshap.events import (
    Event,
    GameInfo,
    RankedContributor,
    RankingUpdated,
    RunFinished,
    RunInterrupted,
    RunStarted,
    StageFinished,
    StageInfo,
    StageProgress,
    StageStarted,
    Warned,
)
from surrogateshap.plan.model import (
    Cost,
    GamePlan,
    GroupingPlan,
    InputFile,
    Plan,
    PoolPlan,
    Stage,
)
from surrogateshap.record.checks import Check, VerifyReport
from surrogateshap.record.comparison import ComparisonReport
from surrogateshap.record.contributor import Condition, ContributorData, Overlap
from surrogateshap.record.results import (
    CalibrationBin,
    ClosedGap,
    ContributorFlags,
    ContributorResult,
    Fidelity,
    GameResult,
    Measured,
    Results,
    SurrogateDiagnostics,
)
from surrogateshap.runs import Cleanup, Freed, RunSummary

RUN = "digits-5b1f0c"
NAMES = (*(f"writer-{number:02d}" for number in range(1, 13)), "corrupted scans", "wrong labels")
GAMES = tuple(
    GameInfo(grouping="source", utility=utility, proxy=proxy)
    for utility in ("fidelity", "confident")
    for proxy in ("image", "prompt")
)
TWINS = (("writer-01", "corrupted scans"), ("writer-02", "wrong labels"))
FLAGS = (
    "loss 2.4 times the others': unlike their images, or corrupted?",
    "loss higher with its conditions than without: wrong ones?",
)
WARNING = (
    "The prompt proxy can't tell apart 2 sets of contributors: they have the same conditions in the same proportions."
)


def _stage(id: str, kind: str, title: str, unit: str, total: int, cached: int, because: str, seconds: float) -> Stage:
    state = "cached" if cached == total else "partial" if cached else "new"
    return Stage.model_validate(
        {
            "id": id,
            "kind": kind,
            "title": title,
            "unit": unit,
            "total": total,
            "cached": cached,
            "state": state,
            "because": because,
            "seconds": seconds,
            "basis": "4 images/s, measured on cpu" if kind == "generate" else "measured on cpu" if seconds else "",
        }
    )


STAGES = (
    _stage(
        "generate-image", "generate", "Generate images, image proxy", "images", 1360, 0, "nothing of it is there", 95
    ),
    _stage("generate-prompt", "generate", "Generate images, prompt proxy", "images", 440, 440, "", 0),
    _stage("encode", "encode", "Encode with digits classifier", "images", 1800, 440, "budget.images changed", 4),
    _stage("evaluate", "evaluate", "Evaluate coalitions", "coalitions", 65536, 0, "the pool changed", 2),
    _stage("fit", "fit", "Estimate Shapley values", "games", 4, 0, "the pool changed", 6),
    _stage("record", "record", "Write results", "records", 1, 0, "the pool changed", 0.2),
)


def make_plan(*, cached: bool = False, name: str = "digits", warnings: tuple[str, ...] = (WARNING,)) -> Plan:
    """The plan of the digits spec; `cached` once it was applied."""
    stages = STAGES
    if cached:
        done = {"state": "cached", "because": "", "seconds": 0.0}
        stages = tuple(stage.model_copy(update={**done, "cached": stage.total}) for stage in STAGES)
    todo = 0 if cached else 1360
    return Plan(
        plan_id="5b1f0c" + "0" * 58,
        run=RUN,
        name=name,
        spec_file="specs/digits.toml",
        spec={},
        inputs=(
            InputFile(role="spec", name="specs/digits.toml", digest="ab" * 32, bytes=1830),
            InputFile(role="model", name="example:digits-unet", digest="cd" * 32, bytes=5_400_000),
            InputFile(role="manifest", name="example:digits/train.parquet", digest="ef" * 32, bytes=410_000),
        ),
        groupings=(GroupingPlan(name="source", contributors=14, rows=1_347, rows_min=68, rows_max=121),),
        pools=(
            PoolPlan(
                proxy="image",
                images=1360,
                unconditional=40,
                conditions=10,
                steps_per_image=12,
                per_contributor_min=90,
                per_contributor_max=104,
                digest="12" * 32,
            ),
            PoolPlan(
                proxy="prompt",
                images=440,
                unconditional=40,
                conditions=10,
                steps_per_image=20,
                per_contributor_min=240,
                per_contributor_max=400,
                digest="34" * 32,
            ),
        ),
        games=tuple(
            GamePlan(
                info=game,
                estimator="exact",
                coalitions=16_384,
                indistinguishable=TWINS if game.proxy == "prompt" else (),
            )
            for game in GAMES
        ),
        stages=stages,
        cost=Cost(
            images=todo,
            denoising_steps=todo * 24,
            seconds=0.0 if cached else 107.2,
            disk_bytes=0 if cached else 4_800_000,
            memory_bytes=310_000_000,
            fresh_images=2_457_600,
            retrainings=16_384,
        ),
        warnings=warnings,
    )


def value_of(position: int, game: GameInfo) -> float:
    """A made-up Shapley value, falling with the position; the last two contributors do harm."""
    scale = 1.0 if game.utility == "fidelity" else 0.03
    return scale * (math.cos(position / 4.3) + (0.1 if game.proxy == "image" else 0.2))


def ranking(
    game: GameInfo = GAMES[0], *, provisional: bool, images: int = 1360, names: Sequence[str] = NAMES
) -> RankingUpdated:
    """A ranking event; intervals narrow as images come."""
    width = 6 / math.sqrt(images) * (1.0 if game.utility == "fidelity" else 0.03)
    rows = []
    for position, name in enumerate(names):
        value = value_of(position, game)
        rows.append(RankedContributor(name=name, value=value, low=value - width, high=value + width, rank=position + 1))
    return RankingUpdated(game=game, contributors=tuple(rows), provisional=provisional, images=images)


def game_result(game: GameInfo, names: Sequence[str] = NAMES) -> GameResult:
    """A game's results; the values are those of its final ranking."""
    event = ranking(game, provisional=False, names=names)
    total = sum(row.value for row in event.contributors)
    return GameResult(
        grouping=game.grouping,
        utility=game.utility,
        proxy=game.proxy,
        v_empty=-12.5,
        v_full=total - 12.5,
        efficiency_gap=0.0,
        estimator="exact",
        coalitions=16_384,
        images=event.images,
        level=0.95,
        surrogate=SurrogateDiagnostics(cv_r2=0.99, trees=600) if game.proxy == "prompt" else None,
        indistinguishable=TWINS if game.proxy == "prompt" else (),
        contributors=tuple(
            ContributorResult(
                **row.model_dump(),
                rows=68 + 4 * row.rank,
                sd_images=0.05,
                sd_coalitions=0.0,
                rank_low=max(1, row.rank - 1),
                rank_high=min(len(names), row.rank + 2),
                share=row.value / total,
            )
            for row in event.contributors
        ),
    )


def with_anchors(result: GameResult) -> GameResult:
    """The game measured on anchors: the two that do harm do twice as much in the retraining game."""
    rows = []
    for row in result.contributors:
        harm = 2 if row.value < 0 else 1
        ends = {"value": harm * row.value, "low": harm * row.low, "high": harm * row.high}
        rows.append(row.model_copy(update={**ends, "share": None}))
    closed = ClosedGap(
        anchors=80, r2=Measured(value=0.953, low=0.921, high=0.968), proxy_r2=0.618, contributors=tuple(rows)
    )
    fidelity = Fidelity(
        kind="retrained",
        anchors=80,
        spearman=Measured(value=0.918, low=0.88, high=0.951),
        lds=Measured(value=0.807, low=0.721, high=0.878),
        intercept=-0.12,
        slope=1.93,
        calibration=(CalibrationBin(anchors=80, proxy=0.31, retrained=0.48),),
        closed=closed,
    )
    return result.model_copy(update={"fidelity": fidelity})


def make_results(names: Sequence[str] = NAMES) -> Results:
    """The results of the digits run."""
    return Results(
        run=RUN,
        plan_id=make_plan().plan_id,
        name="digits",
        games=tuple(game_result(game, names) for game in GAMES),
        flags=tuple(
            ContributorFlags(
                grouping="source",
                name=name,
                images=68,
                conditional=0.25,
                unconditional=0.31,
                flags=FLAGS if name in (names[0], names[-1]) else (),
            )
            for name in names
        ),
    )


def started(resumed: bool = False) -> RunStarted:
    """The first event of the run."""
    return RunStarted(
        run=RUN,
        name="digits",
        resumed=resumed,
        stages=tuple(
            StageInfo(id=stage.id, title=stage.title, unit=stage.unit, total=stage.total, cached=stage.cached)
            for stage in STAGES
        ),
        games=GAMES,
    )


FIRST_HALF: tuple[Event, ...] = (
    started(),
    StageFinished(stage="generate-prompt", seconds=0.0, cached=True),
    StageStarted(stage="generate-image"),
    *(StageProgress(stage="generate-image", done=done, total=1360, rate=14.2) for done in range(64, 512, 64)),
    StageStarted(stage="encode"),
    StageProgress(stage="encode", done=860, total=1800, rate=312.0),
    *(ranking(game, provisional=True, images=420) for game in GAMES),
    Warned(message="Classifier confidence is below 0.5 for 31 % of the images of wrong labels."),
)
SECOND_HALF: tuple[Event, ...] = (
    StageProgress(stage="generate-image", done=1360, total=1360, rate=14.1),
    StageFinished(stage="generate-image", seconds=96.0, cached=False),
    StageFinished(stage="encode", seconds=4.4, cached=False),
    StageStarted(stage="evaluate"),
    StageFinished(stage="evaluate", seconds=1.8, cached=False),
    StageStarted(stage="fit"),
    *(ranking(game, provisional=False) for game in GAMES),
    StageFinished(stage="fit", seconds=5.2, cached=False),
    StageFinished(stage="record", seconds=0.1, cached=False),
    RunFinished(run=RUN, seconds=108.0, cached=False),
)


def picture(number: int) -> np.ndarray:
    """(8, 8) uint8: a bright ring around a dark middle, another for every number."""
    y, x = np.mgrid[0:8, 0:8] - 3.5
    radius = np.hypot(x * (1 + number % 3 / 3), y)
    return (255 * np.exp(-((radius - 2.5) ** 2))).astype(np.uint8)


SPEC_TEXT = """\
# Who of the writers makes the model's digits legible?
spec_version = 1
name = "digits"

[model]
source = "example:digits-unet"

[proxy]
kind = ["image", "prompt"]

[[utility]]
kind = "frechett"   # the distance to the whole manifest
name = "fidelity"

[[utility]]
kind = "rate"
name = "confident"

[contributors]
manifest = "example:digits/train.parquet"
condition = "label"
image = "image"

[[contributors.grouping]]
name = "source"
by = ["source"]

[budget]
# As many for each contributor
# as will do.
images = 0
"""


class CannedJob:
    """A run that was started here, as the source plays it."""

    def __init__(self, source: "CannedSource") -> None:
        self._source = source

    def run(self) -> str | None:
        """As the source says."""
        return self._source.named

    def running(self) -> bool:
        """Until the gate is open, or it was stopped."""
        return self._source.status == "running"

    def stop(self) -> None:
        """Stops it."""
        self._source.closed_by_stop = True
        self._source.tell(RunInterrupted(run=RUN))
        self._source.status = "interrupted"

    def failure(self) -> SurrogateShapError | None:
        """How it ended."""
        return InterruptedRun("stopped") if self._source.closed_by_stop else self._source.failure


class CannedSource:
    """Plays canned events. A run tells the first half, waits at `gate`, then tells the second half and ends."""

    def __init__(
        self,
        *,
        run: str | None = None,
        plan: Plan | SurrogateShapError | None = None,
        results: Results | None = None,
        first: Iterable[Event] = FIRST_HALF,
        second: Iterable[Event] = SECOND_HALF,
        failure: SurrogateShapError | None = None,
    ) -> None:
        self.target = run or "specs/digits.toml"
        self.run = run
        self.gate = Flag()
        self.applied = 0
        self.planned = 0
        self.written = SPEC_TEXT
        self.named: str | None = None
        """What the job says that its run is called."""
        self.interrupted: list[str] = []
        self.unreachable: SurrogateShapError | None = None
        self.verified = 0
        self.closed_by_stop = False
        self.waiting_for = ""
        self.log: list[tuple[int, Event]] = []
        self.status: str | None = None
        self.finished = results
        self.failure = failure
        self.data = contributor_data()
        self.compared: tuple[ComparisonReport, ...] = ()
        self._plan = plan
        self._first, self._second = tuple(first), tuple(second)

    def text(self) -> SpecText | None:
        """The canned text."""
        return SpecText("specs/digits.toml", self.written) if self.run is None else None

    def plan(self) -> Plan:
        """The canned plan, or its error."""
        self.planned += 1
        if isinstance(self._plan, SurrogateShapError):
            raise self._plan
        return self._plan or make_plan(cached=self.finished is not None)

    def repair(self) -> None:
        """From now on the plan can be made."""
        self._plan = None

    def results(self) -> Results | None:
        """The results once finished."""
        return self.finished

    def tell(self, *events: Event) -> None:
        """Stores events, as a run's process does."""
        self.log += [(len(self.log) + number, event) for number, event in enumerate(events, 1)]

    def start(self) -> CannedJob:
        """Plays the run."""
        self.applied += 1
        self.closed_by_stop = False
        self.status = "running"
        self.tell(*self._first)
        return CannedJob(self)

    def follow(self, run: str, after: int) -> tuple[Sequence[tuple[int, Event]], str]:
        """The events of `log`, as another process would have stored them."""
        if self.status is None:
            raise RunError(f"there is no run {run}", "see `surrogateshap runs`")
        if self.applied and self.status == "running" and self.gate.is_set():
            if self.failure is None:
                self.tell(*self._second)
                self.finished = make_results()
            self.status = "done" if self.failure is None else "failed"
        return [(number, event) for number, event in self.log if number > after], self.status

    def made(self) -> Made:
        """The canned folder."""
        return made_of_plan(make_plan(cached=True))

    def comparisons(self) -> tuple[ComparisonReport, ...]:
        """What the test says."""
        return self.compared

    def contributor(self, game: GameInfo, name: str, images: int) -> ContributorData:
        """The same of everyone."""
        return self.data

    def images(self, run: str, count: int) -> Sequence[np.ndarray]:
        """As many made-up digits as there are stored images of a run that has begun."""
        return [picture(number) for number in range(count)] if self.log else []

    def waits_for(self, run: str) -> str:
        """Another run, where the test says so."""
        return self.waiting_for

    def interrupt(self, run: str) -> None:
        """Ends a run that was started elsewhere."""
        if self.unreachable is not None:
            raise self.unreachable
        self.interrupted.append(run)
        self.tell(RunInterrupted(run=run))
        self.status = "interrupted"

    def verify(self) -> VerifyReport:
        """A record that holds."""
        self.verified += 1
        checks = tuple(
            Check(name=name, holds=True, detail=f"sha256 {'ab' * 32}") for name in ("plan.json", "results.json")
        )
        return VerifyReport(record="record.json", holds=True, checks=checks)


def made_of_plan(plan: Plan) -> Made:
    """What the canned run's folder says."""
    record = Provenance(
        subjects=(("plan.json", "ab" * 32), ("results.json", "cd" * 32)),
        inputs=tuple((file.role, file.name, file.digest) for file in plan.inputs),
        versions=(("surrogateshap", "0.1.0"), ("python", "3.11.9"), ("torch", "2.6.0")),
        devices=("cpu, float32, threads: 1",),
        batch_size="64",
        seeds=(("spec", "0"),),
        limits=(
            "The values are those of a proxy game: every coalition is measured on images of one frozen model.",
            "This record is not signed: its digests find damage, not forgery.",
        ),
    )
    return Made(".surrogateshap/runs/" + RUN, plan, record)


def contributor_data() -> ContributorData:
    """What the first writer is made of."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(4):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(buffer, "PNG")
        images.append(buffer.getvalue())
    return ContributorData(
        rows=72,
        conditions=tuple(Condition(str(digit), 12 - digit) for digit in range(6)),
        conditions_in_all=6,
        overlaps=(Overlap("region", "south", 50, 0.4), Overlap("region", "north", 22, 0.1)),
        sizes=tuple(SizeValue(size, size, 1.5 - 0.1 * size, 0.02, 0.2, 100) for size in range(14)),
        images=tuple(images),
    )


def summary_of(run: str, status: str = "done", *, spec: str = "specs/digits.toml", updated: float = 0.0) -> RunSummary:
    """What a store says of a run."""
    return RunSummary.model_validate(
        {
            "run": run,
            "name": "digits",
            "status": status,
            "created": 0.0,
            "updated": updated,
            "spec_file": spec,
            "stages": 6,
            "stages_done": 6 if status == "done" else 2,
            "games": 4,
        }
    )


class CannedLibrary:
    """Some specs and runs, each with its source."""

    def __init__(self, *sources: CannedSource, runs: Sequence[RunSummary] = ()) -> None:
        self.folder = "."
        self.sources = {source.target: source for source in sources}
        self.runs = tuple(runs)
        self.looked = 0
        self.did: list[tuple[str, str]] = []
        self.abouts: dict[str, About] = {}

    def listing(self) -> Listing:
        """What there is."""
        self.looked += 1
        specs = tuple(source.target for source in self.sources.values() if source.run is None)
        return Listing(specs, self.runs, "", tuple(run.spec_file * (run.spec_file in specs) for run in self.runs))

    def about(self, spec: str) -> About:
        """As canned."""
        return self.abouts.get(spec, About("digits", "14 by source; 2 utilities"))

    def forget(self, run: str) -> None:
        """No longer lists it."""
        self.did.append(("forget", run))
        self.runs = tuple(one for one in self.runs if one.run != run)

    def stop(self, run: str) -> None:
        """It is interrupted now."""
        self.did.append(("stop", run))
        changes = {"status": "interrupted"}
        self.runs = tuple(one.model_copy(update=changes) if one.run == run else one for one in self.runs)

    def free(self, *, dry_run: bool) -> tuple[Cleanup, ...]:
        """1.2 MB of images."""
        self.did.append(("look" if dry_run else "free", ""))
        kinds = (Freed(kind="images", files=3, bytes=1_200_000),)
        kept = {"kept_files": 9, "kept_bytes": 5_000_000, "unfinished": (), "unlisted": ()}
        return (Cleanup(dry_run=dry_run, files=3, bytes=1_200_000, kinds=kinds, rows=3, **kept),)

    def create(self, name: str) -> str:
        """A spec with the canned plan."""
        source = CannedSource()
        source.target = name
        self.sources[name] = source
        return name

    def move(self, folder: str) -> None:
        """Nothing is there."""
        if folder == "nowhere":
            raise RunError("nowhere is not a folder", "Name one that is there.")
        self.folder, self.sources, self.runs = folder, {}, ()

    def open(self, target: str) -> CannedSource:
        """The source of that name."""
        return self.sources[target]


def opened(source: CannedSource) -> SurrogateShapApp:
    """The app as `surrogateshap tui TARGET` starts it."""
    return SurrogateShapApp(CannedLibrary(source), source.target)
