"""One group of inbound messages: loaded with a few set-wise reads, decided in memory, flushed with a few writes.

Promises that what a message did and what it is answered become durable together or not at all, once per key. It knows
no rule and no channel: `bot/writer.py` lets the dialogue decide between `load` and `flush`.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from storage import (
    bulk,
    ids,
    joining,
    loading,
    mass_jobs,
    notices,
    people,
    quizzes,
    referrals,
    revisions,
    stops,
    surveys,
    tables,
    uniting,
)
from storage.draft import INNER, Draft, Speaker, dumps
from storage.incoming import Answer, Incoming
from storage.ledger import Balance, Book, Posting, owner
from storage.tables import instant, micros
from storage.vault import Vault

PASSIVE_LEASE = 20_000_000  # microseconds: WeChat's three tries of 5 s, and a margin
CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0/O, 1/I: codes are read aloud and typed


_TOUCHED = ("address", "following", "heard_at", "heard_kind", "sent_since", "parked_until")
_NOT_THEIR_ACT = frozenset({"view", "notice", "unfollow"})  # opens no window, and says nothing of following
_OF_KNOWN = frozenset({"notice", "unfollow"})  # told of people; those we do not know stay unknown


class Elsewhere(Exception):
    """Another node works on this key now: wait for its stored answer."""


class KeyReused(Exception):
    """A posting's key exists with other contents: a fault of the rule that made the key."""


class Group:
    """Load → begin, then accept or refuse, message by message → flush. One transaction, one use."""

    def __init__(self, connection: Connection, new_id: Callable[[], int], vault: Vault) -> None:
        self._connection = connection
        self.new_id = new_id
        self._vault = vault
        self.book = Book()
        self.known_postings: Mapping[str, Posting] = {}
        self._tx = 0
        self._machine_now = 0
        self._speakers: dict[tuple[str, str, str], Speaker] = {}
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._touched: dict[int, Draft] = {}
        self._changed: dict[int, Speaker] = {}
        self._memory: dict[tuple[int, str], str] = {}
        self._twins: dict[int, list[Speaker]] = {}
        self._posted: list[tuple[Posting, int, int | None]] = []
        self._profiles: dict[int, dict[str, Any]] = {}
        self._erased: list[Draft] = []
        self.meeting: joining.Meeting | None = None  # what a typed joining code led to; such a message stands alone
        self._joinings: list[Draft] = []
        self._owners: dict[str, referrals.Owner] = {}
        self._brought: set[int] = set()
        self._bringing: dict[int, referrals.Owner] = {}
        self._best: dict[tuple[str, str, int], tuple[int, ...]] = {}
        self._tallies: Counter[quizzes.Tally] = Counter()
        self._taken: dict[surveys.Taken, tuple[int, int | None]] = {}
        self._answers: dict[surveys.Answer, tuple[int, int | None, int]] = {}
        self._told: dict[int, tuple[Any, ...]] = {}
        self._free: set[int] = set()
        self._agreed: list[tuple[int, str, bool, int]] = []

    # ---- load

    def load(self, incomings: Sequence[Incoming]) -> dict[str, Answer | Elsewhere]:
        """Lock keys, people and their state. Returns what needs no deciding: stored answers and keys held elsewhere."""
        keys = [incoming.key for incoming in incomings]
        elsewhere, self._tx, self._machine_now = loading.lock_keys(self._connection, keys)
        settled: dict[str, Answer | Elsewhere] = {key: Elsewhere(key) for key in elsewhere}
        settled.update(loading.stored_answers(self._connection, [key for key in keys if key not in elsewhere]))
        if len(incomings) == 1 and not settled:
            self.meeting = joining.meet(self._connection, self._vault, incomings[0])
            if self.meeting and self.meeting.other:
                self._speakers["", "", ""] = self.meeting.other
        open_ = [incoming for incoming in incomings if incoming.key not in settled]
        for incoming in open_:
            mass_jobs.heard(self._connection, incoming)  # which the platform's own helper says, and no follower
        strangers = self._load_speakers(open_)
        settled.update((incoming.key, Answer(0)) for incoming in strangers)
        self._load_state()
        codes = {code for incoming in open_ if (code := referrals.code_in(incoming))}
        if codes:
            self._owners = referrals.owners(self._connection, self._vault, sorted(codes))
        if self._owners:
            self._brought = referrals.brought(self._connection, [speaker.id for speaker in self._speakers.values()])
        if self.meeting and self.meeting.other:
            referrals.lock(self._connection)  # whose friends become one may close a chain as well
        return settled

    def lock(self, accounts: Mapping[str, str]) -> None:
        """Lock and load shared accounts (account → unit) that the group does not have yet."""
        missing = {account: unit for account, unit in accounts.items() if account not in self.book}
        loading.lock_accounts(self._connection, self.book, missing)

    def _load_speakers(self, incomings: Sequence[Incoming]) -> list[Incoming]:
        """Lock or make the people who speak. Returns what a platform says of people we do not know: nobody is made."""
        digests: dict[str, Incoming] = {}
        inner: dict[int, Incoming] = {}
        for incoming in incomings:
            if incoming.kind in INNER:
                inner[int(incoming.sender)] = incoming
            else:
                digests[self._vault.digest(incoming.channel, incoming.account, incoming.sender)] = incoming
        found = loading.by_digest(self._connection, digests)
        strangers = []
        for digest, incoming in digests.items():
            if digest not in found and incoming.kind in _OF_KNOWN:
                strangers.append(incoming)
                continue
            speaker = found.get(digest) or self._new_speaker(digest, incoming)
            self._speakers[incoming.channel, incoming.account, incoming.sender] = speaker
        known = {speaker.id: speaker for speaker in self._speakers.values()}
        for number, speaker in loading.by_number(self._connection, list(inner)).items():
            # The same person may speak and have a timer in one group: both see one state.
            self._speakers["", "", str(number)] = known.get(speaker.id, speaker)
        return strangers

    def _new_speaker(self, digest: str, incoming: Incoming) -> Speaker:
        speaker = Speaker(
            id=self.new_id(),
            identity=self.new_id(),
            channel=incoming.channel,
            account=incoming.account,
            address=incoming.sender,
            language=incoming.language or "zh",
            status="active",
            code="".join(secrets.choice(CODE_LETTERS) for _ in range(8)),
            referrer=None,
            consent=False,
            guest=incoming.channel == "web",
            following=True,
            created_at=micros(incoming.at),
            new=True,
        )
        person = (speaker.id, micros(incoming.at), speaker.language, "active", speaker.code, False, speaker.guest)
        self._add("subscriber", person)
        account = (incoming.channel, incoming.account, digest, incoming.sender)
        self._add("identity", (speaker.identity, speaker.id, *account, True, "", 0))
        return speaker

    def _load_state(self) -> None:
        people_by_number: dict[int, list[Speaker]] = {}
        for speaker in self._speakers.values():
            people_by_number.setdefault(speaker.id, []).append(speaker)
            self.book.may_open(speaker.id)
        numbers = [number for number, found in people_by_number.items() if not found[0].new]
        for number, name, data in loading.memory(self._connection, numbers):
            people_by_number[number][0].memory[name] = data
        if len(people_by_number) < len(self._speakers):
            for found in people_by_number.values():
                for twin in found[1:]:  # one person in two conversations at once: both see one state
                    twin.memory = found[0].memory
                    self._twins[twin.id] = found
        for row in loading.balances(self._connection, numbers):
            self.book.load(row[0], Balance(*row[1:]))

    # ---- decide

    def begin(self, incoming: Incoming) -> Draft:
        """An empty draft for this message. Raises KeyError when a timer's person is gone."""
        inner = incoming.kind in INNER
        name = ("", "", incoming.sender) if inner else (incoming.channel, incoming.account, incoming.sender)
        return Draft(incoming, self._speakers[name], self.new_id(), micros(incoming.at), self.book.mark())

    def refuse(self, draft: Draft) -> Draft:
        """Throw away what the draft did; the message gets a new one, to say why."""
        self.book.back_to(draft.mark)
        return Draft(draft.incoming, draft.speaker, draft.text_id, draft.at, draft.mark)

    def post(self, posting: Posting) -> None:
        """Move units for the draft at hand. A key that exists with the same contents is silently done.

        Raises ledger.Short at a floor and KeyReused when the key exists with other contents.
        """
        known = self.known_postings.get(posting.key)
        if known is None:
            self.book.post(posting)
        elif replace(known, revision=posting.revision) != posting:
            raise KeyReused(posting.key)

    def marked(self, table: str, keys: Sequence[str]) -> bool:
        """Whether one of these keys was posted (`posting`) or laid down to fall due (`timer`), as committed."""
        return joining.marked(self._connection, table, keys)

    def post_outside(self, posting: Posting, at: int) -> None:
        """A movement that belongs to no message, such as a block of points for this writer."""
        self.book.post(posting)
        self._posted.append((posting, at, None))

    def history(self, subscriber: int, limit: int, *, test: bool) -> list[dict[str, Any]]:
        """The latest movements on a loaded person's accounts, or on those of their test, as committed: `at`, `unit`,
        `amount`, `reason`."""
        return people.history(self._connection, subscriber, limit, test=test)

    def everything(self, subscriber: int) -> dict[str, Any]:
        """All that is kept about a loaded person, as committed (see `people.export`)."""
        return people.export(self._connection, self._vault, subscriber)

    def owner(self, code: str) -> referrals.Owner | None:
        """The person behind a referrer's code that a message of this group carries; None behind an unknown one."""
        return self._owners.get(code)

    def was_brought(self, draft: Draft) -> bool:
        """Whether somebody brought this person before, whatever came of it. Known where the message carries a code."""
        return draft.speaker.id in self._brought or draft.value("referrer") is not None

    def closes_ring(self, draft: Draft, owner: referrals.Owner) -> bool:
        """Whether the person, brought by `owner`, would have brought themselves in the end."""
        return referrals.closes(owner, draft.speaker.id, self._bringing)

    def friends(self, subscriber: int, offset: int, limit: int) -> tuple[list[referrals.Friend], dict[str, int]]:
        """Those whom a loaded person brought, newest first, and how many by state, as committed."""
        return referrals.friends(self._connection, self._vault, subscriber, offset, limit)

    def board(self, campaign: str, quiz: str, limit: int) -> list[quizzes.Best]:
        """The first of a quiz's board, as committed."""
        return quizzes.board(self._connection, self._vault, campaign, quiz, limit)

    def place(self, campaign: str, quiz: str, missed: int, took: int) -> int:
        """The place on a quiz's board that such an attempt has (see `quizzes.place`)."""
        return quizzes.place(self._connection, campaign, quiz, missed, took)

    def files(self, campaign: str, revision: int) -> dict[str, bytes]:
        """The files of a revision as it was applied. Raises KeyError when there is none."""
        return revisions.files(self._connection, campaign, revision)

    def study(self, draft: Draft) -> uniting.Pair:
        """The person who typed a live joining code and the one it led to, with what is known of both."""
        assert self.meeting and self.meeting.other
        pair = uniting.study(self._connection, draft.speaker, self.meeting.other, draft.at)
        count = 40 + len(pair.twice) + 4 * len(pair.owned)  # more than a message reserves
        first = ids.take_apart(self._connection, count)
        self.new_id = iter(range(first, first + count)).__next__
        return pair

    def stopped_since(self, moment: datetime, now: datetime) -> timedelta:
        """For how long sending stood still between the two."""
        return timedelta(microseconds=stops.stopped(self._connection, micros(moment), micros(now)))

    def offer(self, draft: Draft, code: str, until: datetime) -> None:
        """Let this code lead to the draft's person until then, in place of any other."""
        draft.joining = joining.Offer(joining.code_digest(self._vault, code), micros(until), draft.at)

    def owed(self, draft: Draft, limit: int) -> list[notices.Waiting]:
        """The oldest notices that wait to be told to a person of whom `speaker.owed` says that there are any."""
        found = notices.waiting(self._connection, draft.speaker.id, limit + len(self._told))
        return [notice for notice in found if notice.id not in self._told][:limit]

    def agreed_to(self, draft: Draft, template: str) -> int:
        """How many notices of a template the person still agreed to on this account."""
        return notices.remaining(self._connection, draft.speaker.identity, template)

    def accept(self, draft: Draft, messages: Sequence[dict[str, Any]]) -> Answer:
        """Keep what the draft did, with its answer."""
        if draft.joining is not None:
            self._joinings.append(draft)
            if isinstance(draft.joining, uniting.Pair):
                for name, row in draft.joining.accept(draft, self.new_id, self._tx):
                    self._add(name, row)
        incoming, speaker = draft.incoming, draft.speaker
        inner = incoming.kind in INNER
        said = dumps(messages) if messages else None
        heard = None if inner or draft.forget else incoming.text or None
        self._add("text", (draft.text_id, speaker.id, speaker.identity, draft.at, incoming.kind, heard, said))
        self._add("inbox_key", (incoming.key, draft.text_id, self._machine_now))
        deliveries = self._deliver(draft, len(messages), passive=incoming.passive and not inner)
        if draft.notices and deliveries:
            self._keep_notices(draft, deliveries)
        if draft.bundled or draft.withdrawn or draft.owes_nothing:
            self._keep_told(draft)
        if draft.agreed:
            self._agreed += [(speaker.identity, template, yes, draft.at) for template, yes in draft.agreed]
        event = self._keep_events(draft)
        self._posted += [(posting, draft.at, event) for posting in self.book.postings[draft.mark[1] :]]
        if draft.brought_by:
            campaign = draft.events[0][2]
            self._add("referral", referrals.row_of(draft.brought_by, speaker.id, campaign, draft.at))
            self._bringing[speaker.id] = draft.brought_by
            self._brought.add(speaker.id)
        for name, value in draft.memory.items():
            speaker.memory[name] = self._memory[speaker.id, name] = dumps(value)
        if draft.best or draft.tallies:
            self._best.update(((*key, speaker.id), row) for key, row in draft.best.items())
            self._tallies.update(draft.tallies)
        if draft.taken or draft.answers:
            self._taken.update(((*key, speaker.id), row) for key, row in draft.taken.items())
            self._answers.update(((*key, speaker.id), row) for key, row in draft.answers.items())
        self._keep_changes(draft)
        if inner:
            self._add("fired", (True, int(incoming.data["timer"])))
        elif incoming.kind not in _NOT_THEIR_ACT:
            self._touched[speaker.identity] = draft
        if draft.forget or incoming.kind == "unfollow":
            self._erased.append(draft)
        return Answer(speaker.id, tuple(messages), deliveries)

    def _deliver(self, draft: Draft, count: int, *, passive: bool) -> tuple[int, ...]:
        speaker = draft.speaker
        state, lease = ("passive", self._machine_now + PASSIVE_LEASE) if passive else ("queued", None)
        account = f"{speaker.channel}:{speaker.account}"
        deliveries = tuple(self.new_id() for _ in range(count))
        for part, delivery in enumerate(deliveries):
            whom = (delivery, speaker.id, speaker.identity, account, draft.text_id, part)
            self._add("delivery", (*whom, "reminder", 0, state, draft.at, lease, "", 0, ""))
        return deliveries

    def _keep_notices(self, draft: Draft, deliveries: Sequence[int]) -> None:
        """A notice is known by its first delivery. What lies in a chat waits for nobody but the person."""
        state = "left" if draft.speaker.channel == "web" else "queued"
        for part, (kind, phrase, data) in draft.notices.items():
            row = (deliveries[part], draft.speaker.id, kind, phrase, dumps(data), draft.at, state, "", "", draft.test)
            self._add("notice", (*row, part))

    def _keep_told(self, draft: Draft) -> None:
        at, answer = draft.at, draft.text_id
        self._told.update((number, ("bundled", "bundle", "", answer, at, number)) for number in draft.bundled)
        self._told.update((number, ("withdrawn", "", why, None, at, number)) for number, why in draft.withdrawn)
        if draft.owes_nothing:
            self._free.add(draft.speaker.id)
            for same in self._twins.get(draft.speaker.id, (draft.speaker,)):
                same.owed = False

    def _keep_events(self, draft: Draft) -> int | None:
        """Write the draft's events; returns the first one's id, which its postings name as their cause."""
        first = None
        for kind, actor, campaign, revision, data in draft.events:
            event = self.new_id()
            first = first or event
            what = (event, self._tx, kind, draft.speaker.id, actor, campaign, revision)
            self._add("event", (*what, draft.text_id, draft.at, dumps(data)))
        return first

    def _keep_changes(self, draft: Draft) -> None:
        speaker, at = draft.speaker, draft.at
        for name, value in draft.changes.items():
            for same in self._twins.get(speaker.id, (speaker,)):
                setattr(same, name, value)
        if draft.changes:
            self._changed[speaker.id] = speaker
        if draft.branch:
            self._add("branch", (draft.branch, speaker.id))
        if draft.profile:
            self._profiles.setdefault(speaker.id, {}).update(draft.profile)
        for key, person, kind, due_at, data in draft.timers:
            self._add("timer", (self.new_id(), key, person, kind, due_at, dumps(data), False, draft.at))
        for given, wording in draft.consents:
            self._add("consent", (self.new_id(), speaker.id, given, wording, at))
        for reason in draft.handovers:
            self._add("handover", (self.new_id(), speaker.id, speaker.identity, reason, "waiting", at))

    # ---- flush

    def flush(self) -> None:
        """Write everything, set-wise, each table in key order. The caller commits."""
        connection = self._connection
        for name, columns in _COLUMNS.items():
            bulk.insert(connection, _TABLES[name], columns, sorted(self._rows.get(name, ())))
        self._flush_people()
        self._flush_ledger()
        remembered = sorted((person, name, data) for (person, name), data in self._memory.items())
        bulk.upsert(connection, _TABLES["memory"], ("subscriber", "name", "data"), remembered)
        bulk.update(connection, _TABLES["timer"], "id", ("fired",), sorted(self._rows.get("fired", ())))
        if self._best or self._tallies:
            quizzes.write(connection, self._best, self._tallies)
        if self._taken or self._answers:
            surveys.write(connection, self._taken, self._answers)
        if self._told or self._free:
            notices.told(connection, list(self._told.values()), self._free)
        if self._agreed:
            notices.agree(connection, self._agreed)
        if self._joinings:
            joining.write(connection, self._vault, self._joinings)
        people.change_profiles(connection, self._vault, self._profiles)
        for draft in self._erased:
            self._erase(draft)

    def _flush_people(self) -> None:
        changed = [
            (speaker.language, speaker.status, speaker.referrer, speaker.consent, speaker.guest, number)
            for number, speaker in sorted(self._changed.items())
        ]
        columns = ("language", "status", "referrer", "consent", "guest")
        bulk.update(self._connection, _TABLES["subscriber"], "id", columns, changed)
        bulk.update(self._connection, _TABLES["subscriber"], "id", ("branch",), sorted(self._rows.get("branch", ())))
        touched = [
            (draft.incoming.sender, True, draft.at, _window_kind(draft.incoming), 0, None, identity)
            for identity, draft in sorted(self._touched.items())
        ]
        bulk.update(self._connection, _TABLES["identity"], "id", _TOUCHED, touched)

    def _flush_ledger(self) -> None:
        postings = [
            (
                self.new_id(),
                self._tx,
                *(p.key, p.unit, p.source, p.destination, p.amount, p.campaign, p.revision, p.reason),
                event,
                at,
                p.reverses,
            )
            for p, at, event in self._posted
        ]
        columns = ("id", "tx", "key", "unit", "source", "destination", "amount", "campaign", "revision", "reason")
        bulk.insert(self._connection, _TABLES["posting"], (*columns, "event", "at", "reverses"), postings)
        moved, opened = [], []
        for account, row in sorted(self.book.changed().items()):
            if row.stored:
                moved.append((row.amount - row.amount_before, row.held - row.held_before, account))
            else:
                opened.append((account, owner(account), row.unit, row.amount, row.held, row.floor))
        balance = _TABLES["balance"]
        bulk.update(self._connection, balance, "account", ("amount+", "held+"), moved)
        bulk.insert(self._connection, balance, ("account", "owner", "unit", "amount", "held", "floor"), opened)

    def _erase(self, draft: Draft) -> None:
        """Leaving the account, or asking to be forgotten, takes profile and texts away in the same commit."""
        now = instant(draft.at)
        until = now + timedelta(days=draft.keep_days)
        if draft.forget:
            people.forget(self._connection, draft.speaker.id, now, until)
        else:
            people.park(self._connection, draft.speaker.identity, now, until)

    def _add(self, name: str, row: tuple[Any, ...]) -> None:
        self._rows.setdefault(name, []).append(row)


def _window_kind(incoming: Incoming) -> str:
    """The act as platforms count it for their windows: a tap on a menu is less than a message."""
    return "menu" if incoming.data.get("by") == "menu" else incoming.kind


_COLUMNS: dict[str, tuple[str, ...]] = {
    name: tuple(columns.split())
    for name, columns in {
        "subscriber": "id created_at language status code consent guest",
        "identity": "id subscriber channel account digest address following heard_kind sent_since",
        "inbox_key": "key text at",
        "text": "id subscriber identity at kind heard said",
        "delivery": "id subscriber identity account text part kind lane state due_at lease_until lease tries reason",
        "event": "id tx kind subscriber actor campaign revision text at data",
        "notice": "id subscriber kind phrase data at state way reason test part",
        "timer": "id key subscriber kind due_at data fired made_at",
        "consent": "id subscriber given wording at",
        "referral": "referee referrer campaign state at changed_at",
        "handover": "id subscriber identity reason state at",
    }.items()
}
_TABLES = tables.metadata.tables
