"""When the queue tries again, and by which clock."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from postwren.delivery.retry import LONGEST_GAP, QueueClock, SavedClock, Schedule

SCHEDULE = Schedule()
draws = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 500), draws, st.integers(0, 2**40))
def test_d08_half_an_hour_at_least_lies_between_attempts_after_the_first(attempts: int, draw: float, now: int) -> None:
    delay = SCHEDULE.next_attempt(attempts, now, draw) - now
    if attempts == 1:
        assert 300 <= delay <= 600
    else:
        assert 1800 <= delay <= SCHEDULE.longest * 1.25 < LONGEST_GAP


def test_intervals_grow_to_some_hours_and_leave_two_dozen_attempts() -> None:
    now = 0
    moments: list[int] = []
    while now < SCHEDULE.give_up_after:
        now = SCHEDULE.next_attempt(len(moments) + 1, now, 0.5)
        moments.append(now)
    gaps = [b - a for a, b in pairwise(moments)]
    assert gaps == sorted(gaps)
    assert 25 <= len(moments) <= 40


def test_the_sender_is_warned_once_the_time_is_reached_and_not_before() -> None:
    expires = 1_000 + SCHEDULE.give_up_after
    assert not SCHEDULE.is_warning_due(expires, 1_000 + SCHEDULE.warn_after - 1)
    assert SCHEDULE.is_warning_due(expires, 1_000 + SCHEDULE.warn_after)


@given(
    st.lists(
        st.tuples(st.integers(0, 100_000), st.integers(0, 100_000), st.sampled_from((0, 0, 0, -315_360_000, 315_360_000, 3_600))),
        max_size=20,
    )
)
def test_d08_no_jump_of_the_system_clock_freezes_the_queue_or_makes_it_expire(lives: list[tuple[int, int, int]]) -> None:
    """Each life: seconds that a server ran, seconds until the next one, and by how much the system's clock jumps meanwhile."""
    clock, wall, monotonic = QueueClock(SavedClock.decode(None), 0.0, 1_700_000_000), 1_700_000_000, 0
    ran = jumps = true = 0
    begun = shown = clock.now(0.0)
    for runs, rests, jump in lives:
        monotonic, wall, true, ran = monotonic + runs, wall + runs, true + runs, ran + runs
        shown_then, shown = shown, clock.now(float(monotonic))
        assert shown - shown_then == runs  # while a server runs, nothing but time moves it
        saved = SavedClock.decode(clock.saved(float(monotonic), float(wall)).encode())
        wall, true, jumps, monotonic = wall + rests + jump, true + rests, jumps + (jump > 0), 0
        clock = QueueClock(saved, 0.0, float(wall))
        assert 0 <= clock.now(0.0) - shown <= LONGEST_GAP
        shown = clock.now(0.0)
    assert ran <= shown - begun <= true + jumps * LONGEST_GAP


def test_what_is_kept_tells_people_when_something_is_due() -> None:
    assert SavedClock(1_000, 1_700_000_000).wall_of(4_600) == 1_700_003_600
    assert SavedClock.decode(b"5 0").advanced(1_700_000_000) == 5  # never kept before: there is no gap to speak of
