"""The attempt as plain data: whatever comes in whatever order, every question counts at most once, and only in time."""

from __future__ import annotations

import random
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns import quiz_attempt as attempts
from campaigns.quiz_attempt import GRACE, Attempt
from content.quizzes import Prize, Question, Quiz

SECOND = 1_000_000
END = 10**15


def quiz(count: int, seconds: int = 0, minutes: int = 0, shuffled: bool = False) -> Quiz:
    questions = tuple(
        Question(f"q{n}", {"en": f"Ask {n}"}, {"en": tuple(f"{n}{c}" for c in "abcd")}, n % 4, {"en": ""}, seconds)
        for n in range(count)
    )
    return Quiz("q", {"en": "Q"}, questions, 10, Decimal("0.6"), 1, minutes, shuffled)  # type: ignore[arg-type]


def never(since: int) -> int:
    return 0


# Each act: at which place, which choice, after how many seconds.
ACTS = st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 4), st.integers(0, 40)), max_size=30)


@settings(max_examples=300, deadline=None)
@given(ACTS, st.integers(1, 5), st.booleans(), st.sampled_from([0, 20]), st.sampled_from([0, 2]), st.integers(0, 99))
def test_rights_are_right_answers_counted_once(
    acts: list[tuple[int, int, int]], count: int, shuffled: bool, seconds: int, minutes: int, seed: int
) -> None:
    """An oracle that keeps only what the first timely answer to each question was agrees with the attempt."""
    asked, dice = quiz(count, seconds, minutes, shuffled), random.Random(seed)
    now = 1_000 * SECOND
    began = shown_at = now
    attempt = attempts.begin(asked, 1, 1, now, END, dice)
    answered: dict[str, bool] = {}
    for place, choice, wait in acts:
        now += wait * SECOND
        if attempt.finished:
            break
        before, current = attempt, attempt.question(asked)
        over = bool(minutes) and now > began + minutes * 60 * SECOND + GRACE
        late = bool(seconds) and now > shown_at + seconds * SECOND + GRACE
        step = attempts.answer(attempt, asked, place, choice, now, dice, never)
        attempt = step.attempt
        if over:
            assert step.verdict == "over" and attempt == before
        elif place != before.place:
            assert step.verdict in ("repeated", "early") and attempt == before
        elif late:
            assert step.verdict == "late" and step.choice is None
            answered[current.id], shown_at = False, now
        elif not 0 <= choice < 4:
            assert step.verdict == "no_choice" and attempt == before
        else:
            picked = before.shown[choice]
            assert step.choice == picked and current.id not in answered
            answered[current.id], shown_at = picked == current.right, now
        assert Attempt.of(attempt.tree()) == attempt
    assert attempt.right == sum(answered.values())
    assert attempt.place == len(answered)
    assert len({asked.questions[n].id for n in attempt.order}) == count


def test_a_stop_lengthens_both_times() -> None:
    asked, dice = quiz(2, seconds=20, minutes=1), random.Random(1)
    attempt = attempts.begin(asked, 1, 1, 0, END, dice)
    late = 50 * SECOND
    assert attempts.is_late(attempt, attempt.question(asked), late, never)
    assert not attempts.is_late(attempt, attempt.question(asked), late, lambda since: 30 * SECOND)
    over = 90 * SECOND
    assert attempts.is_over(attempt, over, never)
    assert not attempts.is_over(attempt, over, lambda since: 30 * SECOND)


def test_a_stop_is_only_looked_up_when_time_seems_up() -> None:
    def asked_for(since: int) -> int:
        raise AssertionError("looked up for nothing")

    asked, dice = quiz(2, seconds=20, minutes=1), random.Random(1)
    attempt = attempts.begin(asked, 1, 1, 0, END, dice)
    assert attempts.answer(attempt, asked, 0, 0, 20 * SECOND, dice, asked_for).verdict in ("right", "wrong")


def test_an_attempt_ends_with_the_campaign() -> None:
    asked = quiz(2, minutes=30)
    assert attempts.begin(asked, 1, 1, 0, 60 * SECOND, random.Random(1)).until == 60 * SECOND
    assert attempts.begin(quiz(2), 1, 1, 0, 60 * SECOND, random.Random(1)).until == 60 * SECOND


def test_shuffling_is_of_all_questions_and_all_choices() -> None:
    asked, orders = quiz(5, shuffled=True), set()
    for seed in range(40):
        attempt = attempts.begin(asked, 1, 1, 0, END, random.Random(seed))
        assert sorted(attempt.order) == list(range(5)) and sorted(attempt.shown) == list(range(4))
        orders.add((attempt.order, attempt.shown))
    assert len(orders) > 30
    fixed = attempts.begin(quiz(5), 1, 1, 0, END, random.Random(1))
    assert fixed.order == (0, 1, 2, 3, 4) and fixed.shown == (0, 1, 2, 3)


def test_pass_mark_and_prizes_are_exact() -> None:
    five = quiz(5)
    assert [five.passes(right) for right in range(6)] == [False, False, False, True, True, True]
    thirds = Quiz("q", {"en": "Q"}, quiz(3).questions, 1, Decimal("0.67"), 1, prizes=(Prize(66, 5), Prize(67, 7)))  # type: ignore[arg-type]
    assert [prize.points for prize in thirds.reached(2)] == [5]
    assert [prize.points for prize in thirds.reached(3)] == [5, 7] and not thirds.passes(2)
