"""The Turn: all that a mechanic may see and do for one person at one moment.

Who speaks, what the plan says, the time, the dice; `say`, `award`, `spend`, `remember`, `later`, `note`. It knows no
channel, no HTTP and no SQL. What a turn does counts only if it is not refused.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from campaigns.books import Books
from campaigns.refusals import Blocked, BudgetSpent, GuestLimit, NotEnoughPoints, OutsideWindow
from content.message import Choice, Message, Picture, Poll
from content.quizzes import Quiz
from content.surveys import Survey
from storage import ledger
from storage.group import Draft, Group
from storage.incoming import Incoming
from storage.joining import Meeting
from storage.notices import Waiting
from storage.quizzes import Best
from storage.referrals import Friend, Owner, code_in
from storage.tables import instant, micros
from storage.uniting import Pair, Settled, settle

if TYPE_CHECKING:
    from content.library import Library


_QUARTER = 900_000_000  # microseconds: in any zone of today a day begins with a quarter of an hour


@lru_cache(maxsize=64)
def _date_in(zone: tzinfo, quarter: int) -> str:
    return instant(quarter * _QUARTER).astimezone(zone).date().isoformat()


class Turn:
    """One person's turn. Mechanics get it, use it, and keep nothing of it."""

    def __init__(
        self,
        group: Group,
        draft: Draft,
        library: Library,
        slot: int,
        dice: random.Random,
    ) -> None:
        self._group = group
        self._draft = draft
        self.library = library
        self.plan = library.plan
        self._books = Books(library.plan.id, slot, draft.speaker.id, draft.test)
        self.dice = dice
        self.now: datetime = draft.incoming.at
        self.messages: list[Message] = []
        self.heard: Incoming = draft.incoming  # the message, event or timer that this turn answers

    # ---- who speaks, and what was heard

    def hear_as(self, text: str) -> None:
        """Go on as if the person had typed `text`: what a number or a tapped choice stands for."""
        self.heard = self.heard._replace(text=text)

    @property
    def person(self) -> int:
        """The subscriber's number."""
        return self._draft.speaker.id

    @property
    def is_new(self) -> bool:
        """Whether this is the person's first contact ever."""
        return self._draft.speaker.new

    @property
    def follows_already(self) -> bool:
        """Whether the person was known to follow this account, or to have opened its chat, before this message."""
        return self._draft.speaker.following and not self.is_new

    @property
    def is_guest(self) -> bool:
        """Whether the person is known by the web chat alone."""
        return bool(self._draft.value("guest"))

    @property
    def is_blocked(self) -> bool:
        """Whether staff keep the person from taking part."""
        return self._draft.speaker.blocked

    @property
    def is_test(self) -> bool:
        """Whether this turn is a test, which lives the campaign before its start and counts for nothing."""
        return self._books.since is not None

    @property
    def language(self) -> str:
        """`zh` or `en`, always one of the plan's."""
        chosen: str = self._draft.value("language")
        languages = self.library.languages
        return chosen if chosen in languages else languages[0]

    @property
    def consents(self) -> bool:
        """Whether the person agreed to campaign messages."""
        return bool(self._draft.value("consent"))

    @property
    def code(self) -> str:
        """The person's referral code, for life."""
        return self._draft.speaker.code

    @property
    def today(self) -> str:
        """The local date in the campaign's zone, as 2026-11-22."""
        return self.local_date(self.now)

    def stopped_since(self, moment: datetime) -> timedelta:
        """For how long an emergency stop kept us from sending since then: deadlines lengthen by it."""
        return self._group.stopped_since(moment, self.now)

    def local_date(self, moment: datetime) -> str:
        """The local date of an instant in the campaign's zone."""
        return _date_in(self.plan.zone, micros(moment) // _QUARTER)

    # ---- say

    def phrase(self, key: str, /, **fields: Any) -> str:
        """A sentence of the phrase files in the person's language."""
        return self.library.phrases.say(self.language, key, **fields)

    def say(
        self,
        key: str,
        /,
        *choices: str | Choice,
        picture: Picture | None = None,
        in_place: bool = False,
        **fields: Any,
    ) -> None:
        """Answer with a phrase, and the words or choices that are sensible next (see `say_text`)."""
        text = self.library.phrases.say(self.language, key, **fields)
        self.say_text(text, *choices, picture=picture, in_place=in_place)

    def say_text(
        self,
        text: str,
        /,
        *choices: str | Choice,
        picture: Picture | None = None,
        in_place: bool = False,
        poll: Poll | None = None,
    ) -> None:
        """Answer with a text that is not a phrase (a FAQ answer, a list).

        `in_place` lets it take the place of the message whose button was tapped, where that reads better; `poll` that
        a channel with polls of its own shows one instead of text and choices.
        """
        # `data["message"]`: the platform's id of our message whose button was tapped, given by channels that can edit.
        edits = str(self._draft.incoming.data.get("message", "")) if in_place else ""
        language, library = self.language, self.library
        # A command's name becomes its label in the person's language; tapping it says that label's word. What the plan
        # has not is not offered.
        shown = [
            choice if isinstance(choice, Choice) else library.choice(language, choice)
            for choice in choices
            if isinstance(choice, Choice) or library.offers(choice)
        ]
        self.messages.append(Message(text, picture, tuple(shown), edits, poll))

    def notify(self, kind: str, phrase: str, /, *choices: str | Choice, **values: int | str) -> None:
        """Tell the person something that they did not ask for, outside of their own turn: a notice.

        It goes by the first way open, else with their next answer (see `campaigns/notices.py`). `kind` is one of its
        KINDS, and `values` are numbers and enums, from which the phrase can be said again later.
        """
        self._draft.more.notices[len(self.messages)] = (kind, phrase, values)
        self.say_text(self.phrase(phrase, **values), *choices)

    def owed(self, limit: int) -> list[Waiting]:
        """The oldest notices that wait to be told with an answer; costs nothing where there are none."""
        return self._group.owed(self._draft, limit) if self._draft.speaker.owed else []

    def tell_owed(self, told: list[int], withdrawn: list[tuple[int, str]], *, all_: bool) -> None:
        """This answer tells these notices; others are not to be told any more, each with the reason. `all_`: no other
        waits."""
        more = self._draft.more
        more.bundled += told
        more.withdrawn += withdrawn
        more.owes_nothing = all_

    def agree_to_notices(self, template: str, agreed: bool) -> None:
        """The person agreed to one notice of this template of the platform's, or refused them."""
        self._draft.more.agreed.append((template, agreed))

    def may_be_noticed(self, template: str) -> int:
        """How many notices of this template the person still agreed to on the account they write to, as committed."""
        return self._group.agreed_to(self._draft, template)

    @property
    def test_of(self) -> int | None:
        """Since when the person tests, if this turn is a test."""
        return self._draft.test

    @property
    def is_leaving(self) -> bool:
        """Whether this turn erases the person, or makes them one with another."""
        return self._draft.forget or self._draft.joining is not None

    # ---- points and other units

    def balance(self, unit: str = "points") -> int:
        """What the person can spend of a unit."""
        waits = self.is_test and self.is_guest
        return 0 if waits else self._group.book.available(self._books.owned(unit, guest=False), unit)

    def held(self, unit: str = "points") -> int:
        """What waits for a guest until they are known."""
        known = self.is_test and not self.is_guest
        return 0 if known else self._group.book.available(self._books.owned(unit, guest=True), unit)

    @property
    def in_window(self) -> bool:
        """Whether the campaign runs now; for a test also before it begins."""
        window = self.plan.window
        return window.holds(self.now) or (self.is_test and self.now < window.start)

    def require_window(self) -> None:
        """Refuse when the campaign has not begun or is over. Raises OutsideWindow."""
        if not self.in_window:
            window = self.plan.window
            last = window.end - timedelta(microseconds=1)
            raise OutsideWindow("help", start=self.local_date(window.start), end=self.local_date(last))

    def award(self, points: int, once: str, reason: str) -> None:
        """Give points from the campaign's budget; `once` names the occasion, so that it counts once.

        A guest's points are held up to the plan's cap. Raises Blocked, OutsideWindow, BudgetSpent, GuestLimit.
        """
        self._require_unblocked()
        self.require_window()
        guest = self.is_guest
        if guest:
            cap = self.plan.points.guest_cap
            if self.held() + points > cap:
                raise GuestLimit("points", "connect", "help", cap=cap)
        account = self._books.owned("points", guest=guest)
        try:
            self._post(once, self._books.source("points"), account, points, reason)
        except ledger.Short:
            raise BudgetSpent("points", "help") from None

    def spend(self, points: int, once: str, reason: str, to: str) -> None:
        """Take points for something, into the account `to`. Raises Blocked, NotEnoughPoints."""
        self._require_unblocked()
        source = self._books.owned("points", guest=False)
        try:
            self._post(once, source, self._books.sink(to, "points"), points, reason)
        except ledger.Short as short:
            raise NotEnoughPoints("points", "checkin", have=short.available, need=points) from None

    def _require_unblocked(self) -> None:
        if self.is_blocked:
            raise Blocked("human", "privacy")

    def _done_when_joined(self, table: str, once: str) -> bool:
        """Whether somebody who is one with this person now did it under their own number before."""
        ids: list[int] = self.recall("joined").get("ids", [])
        return bool(ids) and self._group.marked(table, [f"{once}/{number}" for number in ids])

    def _post(self, once: str, source: str, destination: str, amount: int, reason: str) -> None:
        once = self._books.once(once)
        if self._done_when_joined("posting", once):
            return
        key = f"{once}/{self.person}"
        revision = self.library.revision
        self._group.post(
            ledger.Posting(
                key,
                "points",
                source,
                destination,
                amount,
                self._books.campaign,
                revision,
                reason,
            )
        )

    # ---- remember, and what happens later

    def recall(self, name: str) -> dict[str, Any]:
        """What was remembered of this person under a name; empty when nothing was."""
        books = self._books
        return self._draft.recall(name if books.since is None else books.memory(name))

    def remember(self, name: str, value: dict[str, Any]) -> None:
        """Keep a small JSON value about this person."""
        self._draft.memory[self._books.memory(name)] = value

    def note(self, kind: str, /, **data: int | str | bool) -> None:
        """Record what happened, as an event. Only numbers, ids and enums: events are kept for ever."""
        self._draft.events.append((kind, "subscriber", self._books.campaign, self.library.revision, data))

    def later(self, key: str, kind: str, due: datetime, **data: Any) -> None:
        """Have a turn of its own for this person at `due`, once for this key."""
        key = self._books.once(key)
        if not self._done_when_joined("timer", key):
            if self.is_test:
                data["test"] = self._draft.test
            self._draft.more.timers.append((f"{key}/{self.person}", self.person, kind, micros(due), data))

    def tell(self, name: str, value: str | None) -> None:
        """Keep what the person tells of themselves, encrypted under their key; None takes it away.

        Details of a person belong here alone, never into `remember` or `note`.
        """
        self._draft.more.profile[name] = value

    def belong_to(self, branch: str) -> None:
        """Whose staff look after this person from now on."""
        self._draft.more.branch = branch

    # ---- the person's choices

    def choose_language(self, language: str) -> None:
        """Speak this language from now on, in this turn too."""
        self._draft.changes["language"] = language

    def set_consent(self, given: bool, wording: str) -> None:
        """Record agreement to, or refusal of, campaign messages, with the phrase that was shown."""
        if given != self.consents:
            self._draft.changes["consent"] = given
        self._draft.more.consents.append((given, f"{wording}@{self.plan.id}/{self.library.revision}"))

    def hand_over(self, reason: str) -> None:
        """Ask for a member of staff; asking again while one is asked for changes nothing."""
        if not self.recall("handover"):
            self.remember(
                "handover",
                {"state": "waiting", "since": self.now.astimezone(UTC).isoformat()},
            )
            self._draft.more.handovers.append(reason)

    def forget(self) -> None:
        """Erase the person's details and texts with this turn, its own words among them."""
        self._draft.forget = True
        self.keep_parked()

    def keep_parked(self) -> None:
        """What stays under the keyed hash (balance, once-marks, draw records) is kept for the plan's term."""
        self._draft.keep_days = self.plan.privacy.parked_days

    # ---- who brought whom

    @property
    def since(self) -> datetime:
        """When the person first came; in a test, when it began."""
        return instant(self._draft.test or self._draft.speaker.created_at)

    @property
    def referral_code(self) -> str:
        """The referrer's code that the message carries, scanned or typed; empty when there is none."""
        return code_in(self._draft.incoming)

    def owner(self, code: str) -> Owner | None:
        """The person behind the code that the message carries."""
        return self._group.owner(code)

    @property
    def was_brought(self) -> bool:
        """Whether somebody brought this person before, which is once in a lifetime. Known when there is a code."""
        return self._group.was_brought(self._draft)

    def closes_ring(self, owner: Owner) -> bool:
        """Whether the person themselves brought the owner, by however many friends in between."""
        return self._group.closes_ring(self._draft, owner)

    def brought_by(self, owner: Owner) -> None:
        """The person is the owner's guest from now on: a pending referral, which the owner's own turn is told of."""
        self.note("referred", referrer=owner.id)
        self._draft.brought_by = owner
        self._draft.changes["referrer"] = owner.id
        key = self._books.once(f"referral/{self.person}")
        data = {"referee": self.person} | ({"test": owner.tester_since} if self.is_test else {})
        self._draft.more.timers.append((key, owner.id, "referral_pending", micros(self.now), data))

    def friends(self, offset: int, limit: int) -> tuple[list[Friend], dict[str, int]]:
        """Those whom the person brought, newest first, and how many they are in all, by state."""
        return self._group.friends(self.person, offset, limit)

    # ---- quizzes

    def quizzes(self, revision: int = 0) -> dict[str, Quiz]:
        """The quizzes that can be asked, by id: those of this revision, or of an earlier one, where one was begun."""
        if revision in (0, self.library.revision):
            return self.library.quizzes
        return self.library.earlier_quizzes(revision, lambda: self._group.files(self.plan.id, revision))

    def tally(self, quiz: str, what: str, question: str = "", times: int = 1) -> None:
        """Count something of a quiz for staff (see `storage.tables_quiz.QuizTally`)."""
        self._draft.more.tallies += [(self._books.campaign, quiz, question, what, self._books.slot)] * times

    def rank(self, campaign: str, quiz: str, missed: int, took: int, correct: int, asked: int) -> None:
        """Let this attempt stand for the person on the board, in place of any other."""
        books = self._books.campaign if campaign == self.plan.id else campaign
        self._draft.more.best[books, quiz] = (missed, took, correct, asked, micros(self.now))

    def board(self, quiz: str, limit: int) -> list[Best]:
        """The first of a quiz's board, as committed."""
        return self._group.board(self._books.campaign, quiz, limit)

    def place(self, quiz: str, missed: int, took: int) -> int:
        """The place of such an attempt among what is committed, from 1 (see `storage.quizzes.place`)."""
        return self._group.place(self._books.campaign, quiz, missed, took)

    # ---- surveys

    def surveys(self, revision: int = 0) -> dict[str, Survey]:
        """The surveys that can be asked, by id, as `quizzes`."""
        if revision in (0, self.library.revision):
            return self.library.surveys
        return self.library.earlier_surveys(revision, lambda: self._group.files(self.plan.id, revision))

    def took_survey(self, survey: str, began: int, finished: int | None = None) -> None:
        """Record that the person is taking a survey, or finished it (stored microseconds); nothing in a test."""
        if not self.is_test:
            self._draft.more.taken[self.plan.id, survey] = (began, finished)

    def answered(self, survey: str, question: str, value: int, *, in_words: bool = False) -> None:
        """Record an answer (see `storage.tables_survey.SurveyAnswer`); `in_words`: what was heard now is its text.
        Nothing in a test."""
        if not self.is_test:
            words = self._draft.text_id if in_words else None
            self._draft.more.answers[self.plan.id, survey, question] = (value, words, micros(self.now))

    # ---- one person on two channels

    @property
    def meeting(self) -> Meeting | None:
        """What a joining code led to that was typed now; None when none was."""
        return self._group.meeting

    def offer(self, code: str, until: datetime) -> None:
        """Let this code join another channel with this person, once, until then; an earlier code ends."""
        self._group.offer(self._draft, code, until)

    def study(self) -> Pair:
        """This person and the one behind the live code they typed."""
        return self._group.study(self._draft)

    def unite(self, pair: Pair, changes: dict[str, Any]) -> Settled:
        """Make the two one with this turn: `changes` are the older's attributes from now on."""
        self._draft.joining = pair
        self._draft.changes.update(changes)
        return settle(pair, self._group, self.plan.id, self.library.revision, self.plan.points.guest_cap)

    def record_consent(self, wording: str) -> None:
        """Record what stands of two people's consent, where they differed."""
        self._draft.more.consents.append((self.consents, f"{wording}@{self.plan.id}/{self.library.revision}"))

    def owned_by(self, person: int, unit: str = "points") -> int:
        """What a person of this turn can spend of a unit."""
        return self._group.book.available(ledger.person(person, unit), unit)

    # ---- read what is recorded

    def history(self, limit: int) -> list[dict[str, Any]]:
        """The person's latest movements: `at` (aware UTC), `unit`, signed `amount`, `reason`."""
        return self._group.history(self.person, limit, test=self.is_test)

    def everything(self) -> dict[str, Any]:
        """All that is kept about the person."""
        return self._group.everything(self.person)
