"""What the messages of one group did: gathered as rows while they are decided, then written set-wise in one go.

Promises that each table is written once and in key order. It knows no rule, and decides nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from storage import bulk, joining, notices, people, profiles, quizzes, referrals, surveys, tables, uniting
from storage.draft import INNER, Draft, Rare, Speaker, dumps
from storage.incoming import Answer, Incoming
from storage.ledger import Book, Posting, owner
from storage.tables import instant
from storage.vault import Vault

_OF_POSTING = Posting._fields[:-1]  # all but what it reverses, which few do
PASSIVE_LEASE = 20_000_000  # microseconds: WeChat's three tries of 5 s, and a margin
_TOUCHED = ("address", "following=TRUE", "heard_at", "heard_kind", "sent_since=0", "parked_until=NULL")
_NOT_THEIR_ACT = frozenset({"view", "notice", "unfollow"})  # opens no window, and says nothing of following


class Effects:
    """Belongs to one group: `keep` what each accepted draft did, `write` all of it once.

    `tx` is the number of its transaction and `machine_now` the machine's time (microseconds), known once it is loaded;
    `told` are the notices that its answers tell already.
    """

    def __init__(self, new_id: Callable[[], int]) -> None:
        self.new_id = new_id
        self.tx = self.machine_now = 0
        self.twins: dict[int, list[Speaker]] = {}
        self.told: dict[int, tuple[Any, ...]] = {}
        self._rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self._touched: dict[int, Draft] = {}
        self._changed: dict[int, Speaker] = {}
        self._memory: dict[tuple[int, str], str] = {}
        self._posted: list[tuple[Posting, int, int | None, int | None]] = []
        self._profiles: dict[int, dict[str, Any]] = {}
        self._erased: list[Draft] = []
        self._joinings: list[Draft] = []
        self._best: dict[tuple[str, str, int], tuple[int, ...]] = {}
        self._tallies: Counter[quizzes.Tally] = Counter()
        self._taken: dict[surveys.Taken, tuple[int, int | None]] = {}
        self._answers: dict[surveys.Answer, tuple[int, int | None, int]] = {}
        self._free: set[int] = set()
        self._agreed: list[tuple[int, str, bool, int]] = []

    # ---- keep

    def keep(self, draft: Draft, messages: Sequence[dict[str, Any]], postings: Sequence[Posting]) -> Answer:
        """Keep what the draft did and moved, with its answer."""
        if draft.joining is not None:
            self._joinings.append(draft)
            if isinstance(draft.joining, uniting.Pair):
                for name, row in draft.joining.accept(draft, self.new_id, self.tx):
                    self.add(name, row)
        incoming, speaker = draft.incoming, draft.speaker
        inner = incoming.kind in INNER
        said = dumps(messages) if messages else None
        heard = None if inner or draft.forget else incoming.text or None
        self.add("text", (draft.text_id, speaker.id, speaker.identity, draft.at, incoming.kind, heard, said))
        self.add("inbox_key", (incoming.key, draft.text_id, self.machine_now))
        deliveries = self._deliver(draft, len(messages), passive=incoming.passive and not inner)
        event = self._keep_events(draft)
        for posting in postings:
            self._posted.append((posting, draft.at, event, _found_by(posting, draft)))
        if draft.brought_by:
            campaign = draft.events[0][2]
            self.add("referral", referrals.row_of(draft.brought_by, speaker.id, campaign, draft.at))
        for name, value in draft.memory.items():
            speaker.memory[name] = self._memory[speaker.id, name] = dumps(value)
        if draft.changes:
            self._keep_changes(draft)
        if draft.rare:
            self._keep_rare(draft, draft.rare, deliveries)
        if inner:
            self.add("fired", (True, int(incoming.data["timer"])))
        elif incoming.kind not in _NOT_THEIR_ACT:
            self._touched[speaker.identity] = draft
        if draft.forget or incoming.kind == "unfollow":
            self._erased.append(draft)
        return Answer(speaker.id, tuple(messages), deliveries)

    def _deliver(self, draft: Draft, count: int, *, passive: bool) -> tuple[int, ...]:
        speaker, deliveries = draft.speaker, []
        state, lease = ("passive", self.machine_now + PASSIVE_LEASE) if passive else ("queued", None)
        account = f"{speaker.channel}:{speaker.account}"
        for part in range(count):
            delivery = self.new_id()
            deliveries.append(delivery)
            whom = (delivery, speaker.id, speaker.identity, account, draft.text_id, part)
            self.add("delivery", (*whom, "reminder", 0, state, draft.at, lease, "", 0, ""))
        return tuple(deliveries)

    def _keep_rare(self, draft: Draft, rare: Rare, deliveries: Sequence[int]) -> None:
        speaker, at = draft.speaker, draft.at
        if deliveries:
            self._keep_notices(draft, rare, deliveries)
        self._keep_told(draft, rare)
        self._agreed += [(speaker.identity, template, yes, at) for template, yes in rare.agreed]
        self._best.update(((*key, speaker.id), row) for key, row in rare.best.items())
        self._tallies.update(rare.tallies)
        self._taken.update(((*key, speaker.id), row) for key, row in rare.taken.items())
        self._answers.update(((*key, speaker.id), row) for key, row in rare.answers.items())
        if rare.branch:
            self.add("branch", (rare.branch, speaker.id))
        if rare.profile:
            self._profiles.setdefault(speaker.id, {}).update(rare.profile)
        for key, person, kind, due_at, data in rare.timers:
            self.add("timer", (self.new_id(), key, person, kind, due_at, dumps(data), False, at))
        for given, wording in rare.consents:
            self.add("consent", (self.new_id(), speaker.id, given, wording, at))
        for reason in rare.handovers:
            self.add("handover", (self.new_id(), speaker.id, speaker.identity, reason, "waiting", at))

    def _keep_notices(self, draft: Draft, rare: Rare, deliveries: Sequence[int]) -> None:
        """A notice is known by its first delivery. What lies in a chat waits for nobody but the person."""
        state = "left" if draft.speaker.channel == "web" else "queued"
        for part, (kind, phrase, data) in rare.notices.items():
            row = (deliveries[part], draft.speaker.id, kind, phrase, dumps(data), draft.at, state, "", "", draft.test)
            self.add("notice", (*row, part))

    def _keep_told(self, draft: Draft, rare: Rare) -> None:
        at, answer = draft.at, draft.text_id
        self.told.update((number, ("bundled", "bundle", "", answer, at, number)) for number in rare.bundled)
        self.told.update((number, ("withdrawn", "", why, None, at, number)) for number, why in rare.withdrawn)
        if rare.owes_nothing:
            self._free.add(draft.speaker.id)
            for same in self.twins.get(draft.speaker.id, (draft.speaker,)):
                same.owed = False

    def _keep_events(self, draft: Draft) -> int | None:
        """Write the draft's events; returns the first one's id, which its postings name as their cause."""
        first = None
        for kind, actor, campaign, revision, data in draft.events:
            event = self.new_id()
            first = first or event
            what = (event, self.tx, kind, draft.speaker.id, actor, campaign, revision)
            self.add("event", (*what, draft.text_id, draft.at, dumps(data)))
        return first

    def _keep_changes(self, draft: Draft) -> None:
        speaker = draft.speaker
        for name, value in draft.changes.items():
            for same in self.twins.get(speaker.id, (speaker,)):
                setattr(same, name, value)
        self._changed[speaker.id] = speaker

    def keep_posting(self, posting: Posting, at: int) -> None:
        """Keep a movement that belongs to no message. `at` is campaign time in microseconds."""
        self._posted.append((posting, at, None, None))

    def add(self, name: str, row: tuple[Any, ...]) -> None:
        self._rows[name].append(row)

    # ---- write

    def write(self, connection: Connection, vault: Vault, book: Book) -> None:
        """Write everything, with the balances that changed in `book`. The caller commits."""
        for name, columns in _COLUMNS.items():
            bulk.insert(connection, _TABLES[name], columns, sorted(self._rows.get(name, ())))
        self._write_people(connection)
        self._write_ledger(connection, book)
        remembered = sorted((person, name, data) for (person, name), data in self._memory.items())
        bulk.upsert(connection, _TABLES["memory"], ("subscriber", "name", "data"), remembered)
        bulk.update(connection, _TABLES["timer"], "id", ("fired",), sorted(self._rows.get("fired", ())))
        if self._best or self._tallies:
            quizzes.write(connection, self._best, self._tallies)
        if self._taken or self._answers:
            surveys.write(connection, self._taken, self._answers)
        if self.told or self._free:
            notices.told(connection, list(self.told.values()), self._free)
        if self._agreed:
            notices.agree(connection, self._agreed)
        if self._joinings:
            joining.write(connection, vault, self._joinings)
        profiles.change(connection, vault, self._profiles)
        for draft in self._erased:
            _erase(connection, draft)

    def _write_people(self, connection: Connection) -> None:
        changed = [
            (speaker.language, speaker.status, speaker.referrer, speaker.consent, speaker.guest, number)
            for number, speaker in sorted(self._changed.items())
        ]
        columns = ("language", "status", "referrer", "consent", "guest")
        bulk.update(connection, _TABLES["subscriber"], "id", columns, changed)
        bulk.update(connection, _TABLES["subscriber"], "id", ("branch",), sorted(self._rows.get("branch", ())))
        touched = [
            (draft.incoming.sender, draft.at, _window_kind(draft.incoming), identity)
            for identity, draft in sorted(self._touched.items())
        ]
        bulk.update(connection, _TABLES["identity"], "id", _TOUCHED, touched)

    def _write_ledger(self, connection: Connection, book: Book) -> None:
        columns = ("id", "tx", *_OF_POSTING, "event", "at", "text")
        plain, reversing = [], []
        for posting, at, event, words in self._posted:
            moved = (self.new_id(), self.tx, *posting[:-1], event, at, words)
            if posting.reverses is None:
                plain.append(moved)
            else:
                reversing.append((*moved, posting.reverses))
        bulk.insert(connection, _TABLES["posting"], columns, plain)
        bulk.insert(connection, _TABLES["posting"], (*columns, "reverses"), reversing)
        changed, opened = [], []
        for account, row in sorted(book.changed().items()):
            if row.stored:
                changed.append((row.amount - row.amount_before, row.held - row.held_before, account))
            else:
                opened.append((account, owner(account), row.unit, row.amount, row.held, row.floor))
        balance = _TABLES["balance"]
        bulk.update(connection, balance, "account", ("amount+", "held+"), changed)
        bulk.insert(connection, balance, ("account", "owner", "unit", "amount", "held", "floor"), opened)


def _found_by(posting: Posting, draft: Draft) -> int | None:
    """The message by which a posting is found: the speaker's, whose accounts it moves. What moves those of somebody
    else as well, as in a joining, is found by its accounts."""
    owners = {owner(posting.source), owner(posting.destination)} - {None}
    return draft.text_id if owners == {draft.speaker.id} else None


def _erase(connection: Connection, draft: Draft) -> None:
    """Leaving the account, or asking to be forgotten, takes profile and texts away in the same commit."""
    now = instant(draft.at)
    until = now + timedelta(days=draft.keep_days)
    if draft.forget:
        people.forget(connection, draft.speaker.id, now, until)
    else:
        people.park(connection, draft.speaker.identity, now, until)


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
