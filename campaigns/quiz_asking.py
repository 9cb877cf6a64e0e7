"""A quiz with one person: asks its questions, judges and pays the answers, and tells how it went.

What is remembered of a person's quizzes is read and kept here alone. Which words lead here is `campaigns.quiz`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from campaigns import quiz_attempt as attempts
from campaigns.quiz_attempt import Attempt, Step
from campaigns.refusals import BudgetSpent, GuestLimit, OutsideWindow
from campaigns.turn import Turn
from content.message import Choice, Poll
from content.plan.terms import show_share
from content.questions import units
from content.quizzes import ASK_UNITS, Prize, Question, Quiz
from storage.quizzes import FURTHEST
from storage.tables import instant, micros

SECOND = 1_000_000  # microseconds

State = dict[str, Any]  # of one quiz: tries, paid, prizes, best, and while one is open: open, earned


def _key(turn: Turn, name: str) -> str:
    return f"{turn.plan.id}/{name}"


def kept(turn: Turn, name: str) -> State:
    """What is remembered of the person and this quiz."""
    state: State = turn.recall("quiz").get(_key(turn, name), {})
    return state


def keep(turn: Turn, name: str, state: State) -> None:
    """Remember this of the person and this quiz."""
    turn.remember("quiz", {**turn.recall("quiz"), _key(turn, name): state})


def begun(turn: Turn) -> list[str]:
    """The quizzes in which the person has an attempt open."""
    kept_of_all = turn.recall("quiz")
    if not kept_of_all:  # as of most people
        return []
    ours = _key(turn, "")
    return [key.removeprefix(ours) for key, state in kept_of_all.items() if "open" in state and key.startswith(ours)]


def under_way(turn: Turn, name: str) -> tuple[Quiz, Attempt] | None:
    """The attempt under way with the quiz as it was when it began; None when there is none."""
    raw = kept(turn, name).get("open")
    if not raw:
        return None
    attempt = Attempt.of(raw)
    quiz = turn.quizzes(attempt.revision).get(name)
    return (quiz, attempt) if quiz else None


def title(turn: Turn, name: str) -> str:
    """What the quiz is called."""
    going = under_way(turn, name)
    quiz = turn.quizzes().get(name) or (going[0] if going else None)
    return quiz.name[turn.language] if quiz else name


def stopped(turn: Turn) -> attempts.Stopped:
    """For how long emergency stops lasted, as an attempt asks it."""
    return lambda since: turn.stopped_since(instant(since)) // timedelta(microseconds=1)


def is_over(turn: Turn, attempt: Attempt) -> bool:
    """Whether the attempt's whole time is up."""
    return attempts.is_over(attempt, micros(turn.now), stopped(turn))


# ---- question by question


def go_on(turn: Turn, name: str, quiz: Quiz, attempt: Attempt, before: str) -> None:
    """Show the current question once more; when its own time ran out meanwhile, the next."""
    now = micros(turn.now)
    if is_over(turn, attempt):
        finish(turn, name, quiz, attempt, turn.phrase("quiz.time_up"))
    elif attempts.is_late(attempt, attempt.question(quiz), now, stopped(turn)):
        answered(turn, name, quiz, attempts.miss(attempt, quiz, now, turn.dice))
    else:
        ask(turn, name, quiz, attempt, before)


def ask(turn: Turn, name: str, quiz: Quiz, attempt: Attempt, before: str, first: bool = False) -> None:
    """Ask the current question. A native poll is shown the first time only: one per question and chat."""
    question, place = attempt.question(quiz), attempt.place + 1
    head = turn.phrase("quiz.question", number=place, count=len(attempt.order))
    if question.seconds:
        head = " ".join([head, turn.phrase("quiz.seconds", seconds=question.seconds)])
    asks, say = question.ask[turn.language], f"{turn.phrase('word.quiz')} {name} {attempt.number}-{place}"
    labels = tuple(question.choices[turn.language][choice] for choice in attempt.shown)
    text = "\n".join([head, asks])
    text = f"{before}\n\n{text}" if before else text
    poll = None
    if quiz.open and first:
        right, why = attempt.shown.index(question.right), question.why[turn.language]
        both = f"{head} {asks}"  # one message less, where the platform takes so long a question
        whole = units(both) <= ASK_UNITS
        ahead = before if whole else "\n\n".join(filter(None, [before, head]))
        poll = Poll(both if whole else asks, labels, right, say, why, question.seconds, ahead)
    turn.say_text(text, *(Choice(label, f"{say}-{n}") for n, label in enumerate(labels, 1)), poll=poll)


def answered(turn: Turn, name: str, quiz: Quiz, step: Step) -> None:
    """Record and pay an answer, say what it was, and go on."""
    question, attempt = step.question, step.attempt
    assert question is not None
    number = quiz.questions.index(question) + 1
    picked, right = 0 if step.choice is None else step.choice + 1, step.verdict == "right"
    about: dict[str, int | str] = {"question": question.id, "number": number, "choice": picked, "right": int(right)}
    turn.note("quiz_answered", quiz=name, attempt=attempt.number, **about)
    turn.tally(name, str(picked) if picked else "late", question.id)
    state = kept(turn, name)
    told = _judged(turn, question, step)
    if right:
        turn.tally(name, "right", question.id)
        told.append(_pay_answer(turn, name, quiz, question, state))
    told.append(question.why[turn.language])
    keep(turn, name, {**state, "open": attempt.tree()})
    before = "\n".join(line for line in told if line)
    if attempt.finished:
        finish(turn, name, quiz, attempt, before)
    else:
        ask(turn, name, quiz, attempt, before, first=True)


def _judged(turn: Turn, question: Question, step: Step) -> list[str]:
    if step.verdict == "right":
        return [turn.phrase("quiz.right")]
    key = "quiz.late" if step.verdict == "late" else "quiz.wrong"
    return [turn.phrase(key, right=question.choices[turn.language][question.right])]


# ---- points, and the end


def _pay_answer(turn: Turn, name: str, quiz: Quiz, question: Question, state: State) -> str:
    """Pay a right answer unless it was paid in an earlier try; says so in a sentence."""
    if not quiz.points_each:
        return ""
    if question.id in state.get("paid", ()):
        return turn.phrase("quiz.paid_before")
    refused = _pay(turn, quiz.points_each, f"quiz/{turn.plan.id}/{name}/q/{question.id}", "quiz")
    if refused:
        return refused
    state["paid"] = [*state.get("paid", ()), question.id]
    state["earned"] = state.get("earned", 0) + quiz.points_each
    return turn.phrase("quiz.points_held" if turn.is_guest else "quiz.points", points=quiz.points_each)


def _pay(turn: Turn, points: int, once: str, reason: str) -> str:
    """Award points. An answer counts all the same when nothing can be paid: then returns the sentence that says why."""
    try:
        turn.award(points, once, reason)
    except (BudgetSpent, GuestLimit, OutsideWindow) as refusal:
        return turn.phrase(refusal.phrase, **refusal.fields)
    return ""


def finish(turn: Turn, name: str, quiz: Quiz, attempt: Attempt, before: str) -> None:
    """Close the attempt and tell how it went."""
    state = {key: value for key, value in kept(turn, name).items() if key not in ("open", "earned")}
    earned = kept(turn, name).get("earned", 0)
    asked, took = len(attempt.order), max(0, min(micros(turn.now), attempt.until) - attempt.began)
    passed = quiz.passes(attempt.right)
    lines = [before, ""] if before else []
    key = "quiz.passed" if passed else "quiz.failed"
    lines.append(turn.phrase(key, right=attempt.right, asked=asked, share=show_share(quiz.pass_at), took=clock(took)))
    for prize in quiz.reached(attempt.right):
        if prize.percent not in state.get("prizes", ()):
            once = f"quiz/{turn.plan.id}/{name}/prize/{prize.percent}"
            if refused := _pay(turn, prize.points, once, "quiz_prize"):
                lines.append(refused)
                continue
            state["prizes"] = [*state.get("prizes", ()), prize.percent]
            earned += prize.points
            lines.append(prize_told(turn, prize, won=True))
    key = "quiz.earned_held" if turn.is_guest else "quiz.earned"
    lines.append(turn.phrase(key, points=earned, total=turn.held() if turn.is_guest else turn.balance()))
    mine = [1000 - attempt.right * 1000 // asked, took, attempt.right, asked]
    if mine < state.get("best", [1001]):
        state["best"] = mine
        if not turn.is_guest:
            turn.rank(turn.plan.id, name, *mine)
    lines.append(turn.phrase("quiz.guest_board") if turn.is_guest else place_told(turn, name, state["best"]))
    keep(turn, name, state)
    _record(turn, name, attempt, passed, took)
    again = turn.quizzes().get(name)
    left = again.tries - state.get("tries", 0) if again else 0
    retry = [Choice(turn.phrase("quiz.again"), f"{turn.phrase('word.quiz')} {name}")] if left > 0 else []
    choices = ("connect",) if turn.is_guest else ("points",)
    turn.say_text("\n".join(lines), *retry, board_choice(turn, name), *choices, "menu")


def _record(turn: Turn, name: str, attempt: Attempt, passed: bool, took: int) -> None:
    asked, right = len(attempt.order), attempt.right
    told: dict[str, int] = {"right": right, "asked": asked, "passed": int(passed), "seconds": took // SECOND}
    turn.note("quiz_finished", quiz=name, attempt=attempt.number, unanswered=asked - attempt.place, **told)
    turn.tally(name, "finished")
    turn.tally(name, "right", times=right)
    turn.tally(name, "asked", times=asked)
    if passed:
        turn.tally(name, "passed")


def prize_told(turn: Turn, prize: Prize, won: bool = False) -> str:
    """What a prize brings, or brought."""
    if prize.percent == 100:
        return turn.phrase("quiz.prize_won_all" if won else "quiz.prize_all", points=prize.points)
    key = "quiz.prize_won" if won else "quiz.prize"
    return turn.phrase(key, percent=prize.percent, points=prize.points)


def place_told(turn: Turn, name: str, best: list[int]) -> str:
    """The person's place on the board by their best attempt."""
    place = turn.place(name, best[0], best[1])
    told = {"right": best[2], "asked": best[3], "took": clock(best[1])}
    if place > FURTHEST:
        return turn.phrase("quiz.place_beyond", place=FURTHEST, **told)
    return turn.phrase("quiz.place", place=place, **told)


def board_choice(turn: Turn, name: str) -> Choice:
    """What leads to the board."""
    return Choice(turn.phrase("choice.board"), f"{turn.phrase('word.board')} {name}")


def clock(took: int) -> str:
    """A time as people read it: 1:05, or 1:02:03 from an hour on."""
    seconds = took // SECOND
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
