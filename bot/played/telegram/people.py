"""The people on a played Telegram: what they do becomes updates, and what they are shown is kept as it stands now.

Acts return the id of their update at once, 0 when the bot asked for none of that kind.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from bot.played.telegram.checks import found

if TYPE_CHECKING:
    from bot.played.telegram.platform import PlayedTelegram

_PAYLOAD = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(eq=False)
class File:
    """One file on the platform. `ids` are its file_ids, smallest picture first; `size` is (0, 0) for no picture."""

    unique: str
    path: str
    content: bytes = field(repr=False)
    size: tuple[int, int] = (0, 0)
    ids: list[str] = field(default_factory=list)

    @classmethod
    def keep(cls, world: PlayedTelegram, content: bytes, size: tuple[int, int] = (0, 0), path: str = "photos") -> File:
        """Store an upload; the same bytes sent twice are two uploads."""
        number = len(world.files)
        file = cls(f"AQAD{world.dice.getrandbits(48):012x}", f"{path}/file_{number}", content, size)
        for _ in range(2 if size != (0, 0) else 1):
            file.ids.append(f"AgACAgIAAx{world.id:x}{world.dice.getrandbits(200):050x}")
            world.files[file.ids[-1]] = file
        return file

    def sizes(self) -> list[dict[str, Any]]:
        """As PhotoSize objects, the whole picture last."""
        (width, height), longest = self.size, max(self.size)
        small = [max(1, side * 90 // longest) for side in self.size] if longest > 90 else list(self.size)
        sizes = zip(self.ids, "sx", (small, (width, height)), strict=True)
        return [
            {
                "file_id": file_id,
                "file_unique_id": f"{self.unique}{letter}",
                "width": shape[0],
                "height": shape[1],
                "file_size": len(self.content) if letter == "x" else 1_200,
            }
            for file_id, letter, shape in sizes
        ]

    def described(self) -> dict[str, Any]:
        """As one file object."""
        return {"file_id": self.ids[-1], "file_unique_id": self.unique, "file_size": len(self.content)}


@dataclass(frozen=True, slots=True)
class Toast:
    """What answering a pressed button showed."""

    text: str
    alert: bool = False
    url: str = ""


@dataclass(slots=True)
class Query:
    """One pressed button and whether the bot answered it."""

    person: Person
    at: float
    answered: bool = False


@dataclass(eq=False)
class Poll:
    """One quiz poll: in whose chat it stands, its message, the right option, who voted for what, and until when."""

    person: Person
    message: dict[str, Any]
    right: int
    votes: dict[int, int] = field(default_factory=dict)
    until: float = 0.0  # platform time; 0 for always

    @property
    def id(self) -> int:
        """Its number, which is a text in messages."""
        return int(self.message["poll"]["id"])


@dataclass
class Received:
    """One message of the bot as the person sees it now. `versions` are the messages before each edit, oldest first."""

    world: PlayedTelegram = field(repr=False)
    message: dict[str, Any]
    at: datetime
    deleted: bool = False
    versions: list[dict[str, Any]] = field(default_factory=list, repr=False)

    @property
    def message_id(self) -> int:
        """Its number in the chat."""
        return int(self.message["message_id"])

    @property
    def kind(self) -> str:
        """`photo`, `poll` or `text`."""
        return next((kind for kind in ("photo", "poll") if kind in self.message), "text")

    @property
    def text(self) -> str:
        """Text, or caption, or a poll's question."""
        if "poll" in self.message:
            return str(self.message["poll"]["question"])
        return str(self.message.get("text", self.message.get("caption", "")))

    @property
    def options(self) -> list[str]:
        """What can be voted for, in a poll."""
        return [str(option["text"]) for option in self.message.get("poll", {}).get("options", ())]

    @property
    def file_id(self) -> str:
        """Of the whole picture, or empty."""
        return str(self.message["photo"][-1]["file_id"]) if "photo" in self.message else ""

    @property
    def photo(self) -> bytes:
        """The picture's bytes, or none."""
        return self.world.files[self.file_id].content if self.file_id else b""

    @property
    def keyboard(self) -> list[list[dict[str, Any]]]:
        """The rows of its inline keyboard."""
        rows: list[list[dict[str, Any]]] = self.message.get("reply_markup", {}).get("inline_keyboard", [])
        return rows

    @property
    def edits(self) -> int:
        """How often it was edited."""
        return len(self.versions)

    def change(self, message: dict[str, Any]) -> None:
        """Be shown otherwise from now on."""
        self.versions.append(self.message)
        self.message = message


@dataclass(eq=False)
class Person:
    """One person and their private chat with the bot, whose id is theirs. `known`: the bot may write to them at all."""

    world: PlayedTelegram = field(repr=False)
    id: int
    language_code: str = "zh-hans"
    first_name: str = "小明"
    username: str = ""
    known: bool = False
    blocked: bool = False
    deactivated: bool = False
    received: list[Received] = field(default_factory=list, repr=False)
    toasts: list[Toast] = field(default_factory=list, repr=False)
    actions: list[str] = field(default_factory=list, repr=False)
    keyboard: dict[str, Any] = field(default_factory=dict, repr=False)
    messages: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)
    _last: int = field(default=0, repr=False)

    def start(self, payload: str = "") -> int:
        """Press Start, behind `t.me/<bot>?start=payload` if given; unblocks. Raises ValueError for a bad payload."""
        if payload and not _PAYLOAD.fullmatch(payload):
            raise ValueError(f"a start payload is 1-64 of A-Z a-z 0-9 _ -, not {payload!r}")
        if self.blocked:
            self.unblock()
        return self.say(f"/start {payload}".strip())

    def open(self, link: str) -> int:
        """Open a `https://t.me/<bot>?start=payload` link and press Start. Raises ValueError when it leads elsewhere."""
        parts = urlsplit(link)
        if parts.scheme != "https" or parts.netloc != "t.me" or parts.path != f"/{self.world.username}":
            raise ValueError(f"{link} does not lead to this bot")
        return self.start(parse_qs(parts.query, keep_blank_values=True).get("start", [""])[0])

    def say(self, text: str) -> int:
        """Type `text`."""
        entities = found(text)
        return self._message({"text": text} | ({"entities": entities} if entities else {}))

    def photo(self, content: bytes, caption: str = "", size: tuple[int, int] = (750, 1334)) -> int:
        """Send a picture."""
        file = File.keep(self.world, content, size)
        return self._message({"photo": file.sizes()} | ({"caption": caption} if caption else {}))

    def voice(self, content: bytes = b"OggS", duration: int = 3) -> int:
        """Send a voice message."""
        file = File.keep(self.world, content, path="voice")
        return self._message({"voice": file.described() | {"duration": duration, "mime_type": "audio/ogg"}})

    def sticker(self, emoji: str = "👍") -> int:
        """Send a sticker."""
        file = File.keep(self.world, b"RIFF", path="stickers").described()
        shape = {"type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False}
        return self._message({"sticker": file | shape | {"emoji": emoji}})

    def location(self, latitude: float, longitude: float) -> int:
        """Send a place."""
        return self._message({"location": {"latitude": latitude, "longitude": longitude}})

    def contact(self, number: str, of: int | None = None) -> int:
        """Send a card with a phone number: one's own, or that of user `of` (0 for nobody on Telegram)."""
        who = self.id if of is None else of
        card = {"phone_number": number, "first_name": self.first_name} | ({"user_id": who} if who else {})
        return self._message({"contact": card})

    def edit(self, message_id: int, text: str) -> int:
        """Change a text typed before."""
        with self.world.lock:
            old = self.messages[message_id]
            if old["from"]["id"] != self.id or "text" not in old:
                raise ValueError("only a text of one's own can be edited")
            entities = {"entities": found(text)} if found(text) else {}
            message = {name: value for name, value in old.items() if name != "entities"}
            message |= {"text": text, "edit_date": int(self.world.seconds())} | entities
            self.messages[message_id] = message
            return self._update("edited_message", message, ("chat", self.id))

    def tap(self, what: str, message_id: int = 0) -> int:
        """Press the inline button with this data or label, of one message or the newest that has it.

        Raises LookupError when nobody shows such a button, ValueError for one that sends the bot nothing.
        """
        with self.world.lock:
            shown = [self.shown(message_id)] if message_id else [r for r in reversed(self.received) if not r.deleted]
            hits = (
                (received, button)
                for received in shown
                for button in (button for row in received.keyboard for button in row)
                if what in (button.get("callback_data"), button["text"])
            )
            hit = next(hits, None)
            if hit is None:
                raise LookupError(f"no button {what!r}")
            if "callback_data" not in hit[1]:
                raise ValueError(f"the button {what!r} sends nothing: {hit[1]}")
            return self.press(hit[1]["callback_data"], hit[0].message)

    def vote(self, option: int | str, poll: str = "") -> int:
        """Vote for an option by its place from 0 or its text, in the newest poll or the one with this id.

        A poll with an id may be somebody else's, passed on. Raises LookupError for no such poll or option, ValueError
        when it is closed or one voted already: votes in a quiz cannot be changed.
        """
        with self.world.lock:
            shown = next((one for one in reversed(self.received) if one.kind == "poll" and not one.deleted), None)
            name = poll or (shown.message["poll"]["id"] if shown else "")
            held = self.world.polls.get(name)
            if held is None:
                raise LookupError(f"no poll {name!r}")
            texts = [one["text"] for one in held.message["poll"]["options"]]
            number = texts.index(option) if isinstance(option, str) and option in texts else option
            if not isinstance(number, int) or not 0 <= number < len(texts):
                raise LookupError(f"no option {option!r} among {texts}")
            self._close_when_over(held)
            if held.message["poll"]["is_closed"] or self.id in held.votes:
                raise ValueError("the poll is closed, or this person has voted")
            held.votes[self.id] = number
            held.message["poll"]["options"][number]["voter_count"] += 1
            held.message["poll"]["total_voter_count"] += 1
            body = {"poll_id": name, "user": self.user(), "option_ids": [number]}
            body["option_persistent_ids"] = [str(number)]
            return self._update("poll_answer", body, ("poll", held.id))

    def _close_when_over(self, held: Poll) -> None:
        """A poll whose time is up closes; bots that want it are told the poll's last state."""
        state = held.message["poll"]
        if held.until and self.world.seconds() > held.until and not state["is_closed"]:
            state["is_closed"] = True
            self._update("poll", copy.deepcopy(state), ("poll", held.id))

    def press(self, data: str, message: dict[str, Any]) -> int:
        """Send the callback of a button with `data` under `message`, seen or forged."""
        with self.world.lock:
            query = str(self.world.dice.randrange(10**17, 10**18))
            self.world.queries[query] = Query(self, self.world.seconds())
            body = {"id": query, "from": self.user(), "message": copy.deepcopy(message), "data": data}
            return self._update("callback_query", body | {"chat_instance": str(-self.id * 31)}, ("callback", self.id))

    def block(self) -> int:
        """Block the bot."""
        self.blocked = True
        return self._member("member", "kicked")

    def unblock(self) -> int:
        """Unblock the bot."""
        self.blocked = False
        return self._member("kicked", "member")

    def deactivate(self) -> None:
        """Delete one's Telegram account; the bot is told nothing."""
        self.deactivated = True

    def menu(self) -> list[dict[str, str]]:
        """The commands this person is shown, by the platform's order of scopes and languages."""
        language = self.language_code[:2]
        for scope, chat in (("chat", self.id), ("all_private_chats", 0), ("default", 0)):
            for code in (language, ""):
                if listed := self.world.commands.get((scope, chat, code)):
                    return listed
        return []

    async def wait_for(self, count: int, seconds: float = 10.0) -> list[Received]:
        """All received once there are `count`. Raises TimeoutError after `seconds`, saying what there was."""
        from bot.played.telegram.platform import until

        try:
            await until(lambda: len(self.received) >= count, seconds)
        except TimeoutError:
            raise TimeoutError(f"{len(self.received)} of {count} messages: {[r.text for r in self.received]}") from None
        return self.received

    def shown(self, message_id: int) -> Received:
        """The received message with this number. Raises LookupError."""
        hit = next((received for received in self.received if received.message_id == message_id), None)
        if hit is None:
            raise LookupError(f"no message {message_id}")
        return hit

    def next_id(self) -> int:
        """The next message number of this chat."""
        self._last += 1
        return self._last

    def user(self) -> dict[str, Any]:
        """As a User."""
        user = {"id": self.id, "is_bot": False, "first_name": self.first_name}
        user |= {"username": self.username} if self.username else {}
        return user | ({"language_code": self.language_code} if self.language_code else {})

    def chat(self) -> dict[str, Any]:
        """As a Chat."""
        named = {"username": self.username} if self.username else {}
        return {"id": self.id, "first_name": self.first_name, "type": "private"} | named

    def _message(self, inside: dict[str, Any]) -> int:
        with self.world.lock:
            if self.blocked or self.deactivated:
                raise ValueError("who blocked the bot or left Telegram cannot write to it")
            self.known = True
            message: dict[str, Any] = {"message_id": self.next_id(), "from": self.user(), "chat": self.chat()}
            message |= {"date": int(self.world.seconds())} | inside
            self.messages[message["message_id"]] = message
            return self._update("message", message, ("chat", self.id))

    def _member(self, old: str, new: str) -> int:
        bot = {"id": self.world.id, "is_bot": True, "first_name": self.world.name, "username": self.world.username}

        def member(status: str) -> dict[str, Any]:
            return {"user": bot, "status": status} | ({"until_date": 0} if status == "kicked" else {})

        body = {"chat": self.chat(), "from": self.user(), "date": int(self.world.seconds())}
        body |= {"old_chat_member": member(old), "new_chat_member": member(new)}
        return self._update("my_chat_member", body, ("member", self.id))

    def _update(self, kind: str, body: dict[str, Any], queue: tuple[str, int]) -> int:
        return self.world.courier.add(kind, body, queue)
