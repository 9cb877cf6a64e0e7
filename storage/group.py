"""One group of inbound messages: loaded with a few set-wise reads, decided in memory, flushed with a few writes.

Promises that what a message did and what it is answered become durable together or not at all, once per key. It knows
no rule and no channel: `bot/writer.py` lets the dialogue decide between `load` and `flush`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from storage import ids, joining, loading, mass_jobs, notices, people, quizzes, referrals, revisions, stops, uniting
from storage.draft import INNER, Draft, Speaker
from storage.effects import Effects
from storage.incoming import Answer, Incoming
from storage.ledger import Balance, Book, Posting
from storage.tables import micros
from storage.vault import Vault

CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0/O, 1/I: codes are read aloud and typed
_OF_KNOWN = frozenset({"notice", "unfollow"})  # told of people; those we do not know stay unknown


class Elsewhere(Exception):
    """Another node works on this key now: wait for its stored answer."""


class KeyReused(Exception):
    """A posting's key exists with other contents: a fault of the rule that made the key."""


class Group:
    """Load → begin, then accept or refuse, message by message → flush. One transaction, one use."""

    def __init__(self, connection: Connection, new_id: Callable[[], int], vault: Vault) -> None:
        self._connection = connection
        self._vault = vault
        self._effects = Effects(new_id)
        self.book = Book()
        self.known_postings: Mapping[str, Posting] = {}
        self.meeting: joining.Meeting | None = None  # what a typed joining code led to; such a message stands alone
        self._speakers: dict[tuple[str, str, str], Speaker] = {}
        self._owners: dict[str, referrals.Owner] = {}
        self._brought: set[int] = set()
        self._bringing: dict[int, referrals.Owner] = {}

    def new_id(self) -> int:
        """A number that no row has."""
        return self._effects.new_id()

    # ---- load

    def load(self, incomings: Sequence[Incoming]) -> dict[str, Answer | Elsewhere]:
        """Lock keys, people and their state. Returns what needs no deciding: stored answers and keys held elsewhere."""
        keys = [incoming.key for incoming in incomings]
        elsewhere, self._effects.tx, self._effects.machine_now = loading.lock_keys(self._connection, keys)
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
        self._effects.add("subscriber", person)
        account = (incoming.channel, incoming.account, digest, incoming.sender)
        self._effects.add("identity", (speaker.identity, speaker.id, *account, True, "", 0))
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
                    self._effects.twins[twin.id] = found
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
        elif known._replace(revision=posting.revision) != posting:
            raise KeyReused(posting.key)

    def marked(self, table: str, keys: Sequence[str]) -> bool:
        """Whether one of these keys was posted (`posting`) or laid down to fall due (`timer`), as committed."""
        return joining.marked(self._connection, table, keys)

    def post_outside(self, posting: Posting, at: int) -> None:
        """A movement that belongs to no message, such as a block of points for this writer."""
        self.book.post(posting)
        self._effects.keep_posting(posting, at)

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
        self._effects.new_id = iter(range(first, first + count)).__next__
        return pair

    def stopped_since(self, moment: datetime, now: datetime) -> timedelta:
        """For how long sending stood still between the two."""
        return timedelta(microseconds=stops.stopped(self._connection, micros(moment), micros(now)))

    def offer(self, draft: Draft, code: str, until: datetime) -> None:
        """Let this code lead to the draft's person until then, in place of any other."""
        draft.joining = joining.Offer(joining.code_digest(self._vault, code), micros(until), draft.at)

    def owed(self, draft: Draft, limit: int) -> list[notices.Waiting]:
        """The oldest notices that wait to be told to a person of whom `speaker.owed` says that there are any."""
        found = notices.waiting(self._connection, draft.speaker.id, limit + len(self._effects.told))
        return [notice for notice in found if notice.id not in self._effects.told][:limit]

    def agreed_to(self, draft: Draft, template: str) -> int:
        """How many notices of a template the person still agreed to on this account."""
        return notices.remaining(self._connection, draft.speaker.identity, template)

    def accept(self, draft: Draft, messages: Sequence[dict[str, Any]]) -> Answer:
        """Keep what the draft did, with its answer."""
        if draft.brought_by:
            self._bringing[draft.speaker.id] = draft.brought_by
            self._brought.add(draft.speaker.id)
        return self._effects.keep(draft, messages, self.book.postings[draft.mark[1] :])

    # ---- flush

    def flush(self) -> None:
        """Write everything, set-wise, each table in key order. The caller commits."""
        self._effects.write(self._connection, self._vault, self.book)
