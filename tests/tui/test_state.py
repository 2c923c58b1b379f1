"""The reducer: any events in any order, and what must survive them."""

import pytest
from canned import FIRST_HALF, FLAGS, GAMES, NAMES, RUN, SECOND_HALF, make_plan, make_results, ranking, started
from hypothesis import given
from hypothesis import strategies as st
from surrogateshap_tui.state import (
    Grade,
    RunState,
    abandoned,
    planned,
    reduce,
    reduce_all,
    time_left,
    with_results,
)

from surrogateshap.events import (
    DeviceProgress,
    Event,
    RunFailed,
    RunFinished,
    RunInterrupted,
    StageFinished,
    StageProgress,
    StageStarted,
    Warned,
)

stage_ids = st.sampled_from(("generate-image", "encode", "fit", "unheard of"))
events = st.one_of(
    st.builds(started, st.booleans()),
    st.builds(StageStarted, stage=stage_ids),
    st.builds(
        StageProgress,
        stage=stage_ids,
        done=st.integers(-5, 5000),
        total=st.integers(-5, 5000),
        rate=st.floats(allow_nan=True, allow_infinity=True),
    ),
    st.builds(StageFinished, stage=stage_ids, seconds=st.floats(0, 1e6), cached=st.booleans()),
    st.builds(
        ranking, st.sampled_from(GAMES), provisional=st.booleans(), images=st.integers(1, 2000), names=st.just(NAMES)
    ),
    st.builds(
        DeviceProgress,
        device=st.sampled_from(("cpu", "cuda:0")),
        images=st.integers(0, 9),
        rate=st.just(1.0),
        seconds=st.just(1.0),
    ),
    st.builds(Warned, message=st.text(max_size=20)),
    st.just(RunFinished(run=RUN, seconds=1.0, cached=False)),
    st.just(RunFailed(run=RUN, message="no memory", remedy="use less")),
    st.just(RunInterrupted(run=RUN)),
)


def stage(state: RunState, name: str):
    return next(stage for stage in state.stages if stage.id == name)


@given(st.lists(events, max_size=30))
def test_any_order_of_events_is_taken(sequence: list[Event]) -> None:
    state = reduce_all(planned(make_plan()), sequence)
    for shown in state.stages:
        assert 0.0 <= shown.fraction <= 1.0
        assert shown.left is None or shown.left >= 0


@given(st.lists(events, max_size=30), st.lists(events, max_size=30))
def test_a_final_ranking_is_never_lost(before: list[Event], after: list[Event]) -> None:
    final = ranking(provisional=False, images=1360)
    state = reduce_all(reduce(reduce_all(reduce(RunState(), started()), before), final), after)
    expected = [event for event in (final, *after) if event.kind == "ranking_updated" and not event.provisional]
    newest = [event for event in expected if event.game == final.game][-1]
    kept = state.ranking(final.game)
    assert kept is not None
    assert (kept.grade, kept.images) == (Grade.FINAL, newest.images)


@given(st.lists(events, max_size=30))
def test_results_outlast_every_event_of_their_run(after: list[Event]) -> None:
    results = make_results()
    state = reduce_all(with_results(reduce(RunState(), started()), results), after)
    for game, result in zip(GAMES, results.games, strict=True):
        kept = state.ranking(game)
        assert kept is not None
        assert kept.result == result


@given(st.lists(events.filter(lambda event: event.kind != "run_started"), max_size=40))
def test_progress_never_falls_within_an_attempt(sequence: list[Event]) -> None:
    state = reduce(RunState(), started())
    done = {shown.id: shown.done for shown in state.stages}
    for event in sequence:
        state = reduce(state, event)
        for shown in state.stages:
            assert shown.done >= done[shown.id]
            done[shown.id] = shown.done


def test_a_new_attempt_counts_anew_and_keeps_the_rankings() -> None:
    state = reduce_all(RunState(), (*FIRST_HALF, RunFailed(run=RUN, message="no memory", remedy="use less")))
    assert (state.status, state.error, state.remedy) == ("failed", "no memory", "use less")
    assert stage(state, "generate-image").status == "stopped"
    state = reduce(state, started(resumed=True))
    assert (state.status, state.error, state.resumed) == ("running", "", True)
    assert stage(state, "generate-image").done == 0
    assert state.ranking(GAMES[0]).images == 420


def test_another_run_drops_the_rankings() -> None:
    state = reduce_all(RunState(), FIRST_HALF)
    other = started().model_copy(update={"run": "other-run"})
    assert reduce(state, other).rankings == ()


def test_a_whole_run() -> None:
    state = reduce_all(planned(make_plan()), (*FIRST_HALF, *SECOND_HALF))
    assert state.status == "finished"
    assert {shown.status for shown in state.stages} == {"done", "cached"}
    assert [shown.fraction for shown in state.stages] == [1.0] * 6
    assert all(state.ranking(game).grade is Grade.FINAL for game in GAMES)
    assert with_results(state, make_results()).ranking(GAMES[0]).places[0].rank_high == 3


def test_flags_stand_at_their_contributors_in_every_game() -> None:
    state = with_results(RunState(), make_results())
    for shown in state.rankings:
        flagged = {place.name: place.flags for place in shown.places if place.flags}
        assert flagged == {NAMES[0]: FLAGS, NAMES[-1]: FLAGS}
    elsewhere = make_results()
    elsewhere = elsewhere.model_copy(
        update={"flags": tuple(one.model_copy(update={"grouping": "label"}) for one in elsewhere.flags)}
    )
    assert not any(place.flags for shown in with_results(RunState(), elsewhere).rankings for place in shown.places)


def test_the_time_left_joins_measured_rates_and_the_plans_estimates() -> None:
    plan = make_plan()
    state = reduce_all(
        planned(plan),
        (
            started(),
            StageStarted(stage="generate-image"),
            StageProgress(stage="generate-image", done=360, total=1360, rate=10),
        ),
    )
    assert stage(state, "generate-image").left == 100.0
    assert time_left(state, plan) == pytest.approx(100 + 4 + 2 + 6 + 0.2)
    assert time_left(state, None) is None
    told = reduce(state, StageProgress(stage=state.stages[0].id, done=1, total=9, rate=1.0, left=7.0))
    assert time_left(told, plan) == 7


def test_a_run_that_nobody_executes_is_stopped() -> None:
    state = abandoned(reduce_all(RunState(), FIRST_HALF))
    assert state.status == "interrupted"
    assert stage(state, "encode").status == "stopped"
    finished = reduce_all(RunState(), (*FIRST_HALF, *SECOND_HALF))
    assert abandoned(finished) == finished


def test_of_each_device_the_newest_is_kept_and_a_new_attempt_begins_without() -> None:
    def told(device: str, images: int) -> DeviceProgress:
        return DeviceProgress(device=device, images=images, rate=4.0, seconds=1.0, utilisation=0.5)

    state = reduce_all(RunState(), [started(), told("cpu", 1), told("cuda:0", 5), told("cpu", 3)])
    assert [(one.device, one.images, one.utilisation) for one in state.devices] == [("cpu", 3, 0.5), ("cuda:0", 5, 0.5)]
    assert reduce_all(state, [started(resumed=True)]).devices == ()


def test_how_wide_intervals_were_is_kept_by_number_of_images() -> None:
    state = reduce_all(RunState(), (started(), *(ranking(provisional=True, images=images) for images in (400, 1600))))
    again = reduce_all(state, (ranking(provisional=True, images=1600), ranking(provisional=True, images=100)))
    assert [look.images for look in again.looks] == [100, 400, 1600]
    widths = [look.median for look in again.looks]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] / widths[2] == pytest.approx(4)
    event = ranking(provisional=True, images=500)
    points = tuple(row.model_copy(update={"low": row.value, "high": row.value}) for row in event.contributors)
    assert reduce_all(again, (event.model_copy(update={"contributors": points}),)).looks == again.looks
    assert reduce_all(again, (started(),)).looks == again.looks
