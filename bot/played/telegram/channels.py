"""Channels on a played Telegram: who the bot is in them decides whether it may post, as the platform checks it.

Sources: the texts of refusals are those of the Bot API's server and, for missing rights, of its library; the rate of 20
messages a minute is the one that the Bot API's FAQ names for groups.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bot.played.telegram.people import Received
from bot.played.telegram.wire import Refused

if TYPE_CHECKING:
    from bot.played.telegram.people import Person
    from bot.played.telegram.platform import PlayedTelegram

_USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{3,31}")


@dataclass(eq=False)
class Channel:
    """One channel. `status` is the bot's: `left`, `kicked`, `member` or `administrator`; `received` its posts."""

    world: PlayedTelegram = field(repr=False)
    id: int
    title: str
    username: str = ""
    status: str = "left"
    may_post: bool = False
    received: list[Received] = field(default_factory=list, repr=False)
    messages: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)
    keyboard: dict[str, Any] = field(default_factory=dict, repr=False)
    actions: list[str] = field(default_factory=list, repr=False)
    _last: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        if self.username and not _USERNAME.fullmatch(self.username):
            raise ValueError(f"no channel can be called {self.username!r}")

    def promote(self, by: Person, may_post: bool = True) -> int:
        """`by` makes the bot an administrator, with the right to post or without. Returns the update's id."""
        return self._become(by, "administrator", may_post)

    def demote(self, by: Person) -> int:
        """Leave the bot in the channel without rights."""
        return self._become(by, "member", False)

    def kick(self, by: Person) -> int:
        """Remove the bot from the channel."""
        return self._become(by, "kicked", False)

    def check(self) -> None:
        """Raise Refused unless the bot may post."""
        self.check_member()
        if self.status != "administrator" or not self.may_post:
            raise Refused(400, "Bad Request: need administrator rights in the channel chat")

    def check_member(self) -> None:
        """Raise Refused unless the bot is in the channel."""
        if self.status == "kicked":
            raise Refused(403, "Forbidden: bot was kicked from the channel chat")
        if self.status == "left":
            raise Refused(403, "Forbidden: bot is not a member of the channel chat")

    def member(self) -> dict[str, Any]:
        """The bot as a ChatMember."""
        return self._as_member(self.status, self.may_post)

    def next_id(self) -> int:
        """The next message number of this channel."""
        self._last += 1
        return self._last

    def chat(self) -> dict[str, Any]:
        """As a Chat."""
        named = {"username": self.username} if self.username else {}
        return {"id": self.id, "title": self.title, "type": "channel"} | named

    def sender(self) -> dict[str, Any]:
        """Whose name stands over its posts: the channel's own."""
        return {"sender_chat": self.chat()}

    def shown(self, message_id: int) -> Received:
        """The post with this number. Raises LookupError."""
        hit = next((received for received in self.received if received.message_id == message_id), None)
        if hit is None:
            raise LookupError(f"no message {message_id}")
        return hit

    def _become(self, by: Person, status: str, may_post: bool) -> int:
        with self.world.lock:
            body = {"chat": self.chat(), "from": by.user(), "date": int(self.world.seconds())}
            body |= {"old_chat_member": self.member(), "new_chat_member": self._as_member(status, may_post)}
            self.status, self.may_post = status, may_post
            return self.world.courier.add("my_chat_member", body, ("member", self.id))

    def _as_member(self, status: str, may_post: bool) -> dict[str, Any]:
        bot = {"id": self.world.id, "is_bot": True, "first_name": self.world.name, "username": self.world.username}
        member: dict[str, Any] = {"user": bot, "status": status}
        if status == "administrator":
            rights = (
                "manage_chat",
                "change_info",
                "edit_messages",
                "delete_messages",
                "invite_users",
                "restrict_members",
            )
            more = ("promote_members", "manage_video_chats", "post_stories", "edit_stories", "delete_stories")
            member |= {f"can_{name}": False for name in (*rights, *more)}
            member |= {"can_be_edited": False, "is_anonymous": False, "can_manage_chat": True}
            member["can_post_messages"] = may_post
        elif status == "kicked":
            member["until_date"] = 0
        return member
