"""The inbox: progress collapses, nothing else does, and the order stays."""

from canned import GAMES, ranking
from hypothesis import given
from hypothesis import strategies as st
from surrogateshap_tui.messages import Inbox

from surrogateshap.events import Event, StageFinished, StageProgress, StageStarted, Warned

stages = st.sampled_from(("generate", "encode"))
events = st.one_of(
    st.builds(StageProgress, stage=stages, done=st.integers(0, 100), total=st.just(100)),
    st.builds(StageStarted, stage=stages),
    st.builds(StageFinished, stage=stages, seconds=st.just(1.0), cached=st.booleans()),
    st.builds(Warned, message=st.text(max_size=5)),
    st.just(ranking(GAMES[0], provisional=True)),
)


def progress(stage: str, done: int) -> StageProgress:
    return StageProgress(stage=stage, done=done, total=100)


def put_all(*sequence: Event) -> Inbox:
    inbox = Inbox()
    for event in sequence:
        inbox.put(event)
    return inbox


def test_only_the_newest_progress_of_a_stage_is_kept() -> None:
    inbox = put_all(progress("generate", 1), progress("encode", 5), progress("generate", 2), progress("generate", 3))
    assert inbox.drain() == [progress("encode", 5), progress("generate", 3)]
    assert inbox.drain() == []


def test_progress_never_jumps_over_another_event() -> None:
    end = StageFinished(stage="generate", seconds=1.0, cached=False)
    inbox = put_all(progress("generate", 1), end, progress("generate", 2))
    assert inbox.drain() == [progress("generate", 1), end, progress("generate", 2)]


@given(st.lists(events, max_size=60))
def test_nothing_but_progress_is_dropped(sequence: list[Event]) -> None:
    inbox = put_all(*sequence)
    kept = inbox.drain()

    def others(some: list[Event]) -> list[Event]:
        return [event for event in some if not isinstance(event, StageProgress)]

    assert others(kept) == others(sequence)
    for stage in ("generate", "encode"):
        last = [e for e in sequence if isinstance(e, StageProgress) and e.stage == stage][-1:]
        assert [e for e in kept if isinstance(e, StageProgress) and e.stage == stage][-1:] == last
