"""Sends message trees by the library's `Bot`: pieces from where an earlier try ended, edits, pictures.

Decides nothing; every error becomes an Outcome. `open_bot` is the only place where the token is used.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

from telegram import Bot, InputFile, InputMediaPhoto
from telegram.error import BadRequest, ChatMigrated, TelegramError
from telegram.warnings import PTBDeprecationWarning

from bot.channels import Outcome, Parcel, Service
from bot.telegram import polls
from bot.telegram.faults import outcome, post_outcome, unchanged, unshowable
from bot.telegram.pace import Pace
from bot.telegram.pictures import Pictures
from bot.telegram.rendering import Piece, pieces
from bot.telegram.request import AiohttpRequest

_SAID_SECONDS = 7 * 86_400.0
_SECONDS, _UPLOAD_SECONDS = 20.0, 30.0
_A_MINUTE = 20.0  # messages in a channel
_CHANNEL = re.compile(r"@[A-Za-z][A-Za-z0-9_]{3,31}|-100[0-9]{6,13}")
_BULK = 30.0  # messages in a second that the platform lets through free; a stand-in that takes more takes all faster


def open_bot(token: str, api_url: str) -> tuple[Bot, AiohttpRequest]:
    """The library's client of one bot, and its connections. `api_url` is scheme and host of the platform."""
    # It tells at every 429 that an attribute will change which nobody reads here.
    warnings.filterwarnings("ignore", message=".*retry_after.*", category=PTBDeprecationWarning)
    request = AiohttpRequest()
    return Bot(token, base_url=f"{api_url}/bot", request=request, get_updates_request=request), request


class Sending:
    """What one bot sends. `per_second` is what its settings allow altogether."""

    def __init__(self, bot: Bot, account: str, bot_id: str, service: Service, per_second: float) -> None:
        self._bot, self._account, self._bot_id, self._service = bot, account, bot_id, service
        self._pace = Pace(max(1.0, per_second / _BULK))
        self._channel_pace = Pace(max(1.0, per_second / _BULK) * _A_MINUTE / 60)
        self._pictures = Pictures(account, bot_id, service)

    async def send(self, parcel: Parcel) -> Outcome:
        """Send one message; never raises for what the platform can do."""
        tree = parcel.message
        picture = tree.get("picture")
        shown = picture is not None and await self._pictures.showable(picture["name"])
        ended = await self._send(parcel, pieces(tree, self._service.public_url, pictures=shown))
        if ended.reason == _UNSHOWABLE and picture:  # which is always the first piece, so nothing was said yet
            await self._pictures.give_up(picture["name"])
            ended = await self._send(parcel, pieces(tree, self._service.public_url, pictures=False))
        return ended

    async def _send(self, parcel: Parcel, parts: list[Piece]) -> Outcome:
        if not parts:
            return Outcome("failed", "empty")
        chat, earlier = int(parcel.address), parcel.message.get("edits", "")
        if len(parts) == 1 and earlier.isdecimal() and not parts[0].poll:
            ended = await self._edit(chat, int(earlier), parts[0])
            if ended is not None:
                return ended
        key = f"telegram:{self._account}:said:{parcel.delivery}"
        return await self._in_order(parts, key, lambda piece: self._say(chat, piece))

    async def post(self, channel: str, message: dict[str, Any], key: str, link: str) -> Outcome:
        """Post to a channel that the bot administers: its `@name`, or its number as text. Never for a person's chat.

        Nobody in a channel can be answered there, so choices without an address of their own open `link`. `key` names
        the post: said in parts, it goes on where an earlier try ended. What is in doubt is not repeated here. Raises
        ValueError for what cannot name a channel.
        """
        if not _CHANNEL.fullmatch(channel):
            raise ValueError(f"{channel!r} 不是频道：要 @名称 或 -100 开头的编号 / names no channel: @name or -100…")
        if message.get("poll"):
            return Outcome("refused", "no_polls")  # whoever votes in a channel stays unknown
        chat: int | str = channel if channel.startswith("@") else int(channel)
        choices = [{"label": one["label"], "url": one.get("url") or link} for one in message.get("choices", ())]
        tree = {**message, "choices": choices}
        picture = tree.get("picture")
        shown = picture is not None and await self._pictures.showable(picture["name"])
        ended = await self._post(chat, pieces(tree, self._service.public_url, pictures=shown), key)
        if ended.reason == _UNSHOWABLE and picture:
            await self._pictures.give_up(picture["name"])
            ended = await self._post(chat, pieces(tree, self._service.public_url, pictures=False), key)
        return ended

    async def _post(self, chat: int | str, parts: list[Piece], key: str) -> Outcome:
        if not parts:
            return Outcome("failed", "empty")
        return await self._in_order(
            parts,
            f"telegram:{self._account}:posted:{chat}:{key}",
            lambda piece: self._say_to(chat, piece, self._channel_pace, post_outcome),
        )

    async def post_fault(self, channel: str) -> str:
        """Why the bot may not post to this channel now, or nothing: `not_admin`, `no_channel`, or a fault's reason."""
        try:
            member = await self._ask("getchatmember", _SECONDS, chat_id=channel, user_id=int(self._bot_id))
        except TelegramError as error:
            return post_outcome(error, self._account).reason
        may = member.get("status") == "creator" or member.get("can_post_messages") is True
        return "" if may else "not_admin"

    async def _in_order(self, parts: list[Piece], key: str, say: Callable[[Piece], Awaitable[Outcome]]) -> Outcome:
        """Say what an earlier try under `key` did not say yet."""
        kept = await self._service.recall(key) if len(parts) > 1 else None
        first = int(kept["pieces"]) if kept else 0
        for number in range(first, len(parts)):
            ended = await say(parts[number])
            if ended.state != "sent":
                if number > first:
                    await self._service.keep(key, {"pieces": number}, _SAID_SECONDS)
                return ended
        return Outcome("sent")

    async def _say(self, chat: int, piece: Piece) -> Outcome:
        return await self._say_to(chat, piece, self._pace, outcome)

    async def _say_to(
        self, chat: int | str, piece: Piece, pace: Pace, ended: Callable[[TelegramError, str], Outcome]
    ) -> Outcome:
        await pace.wait(chat)
        try:
            try:
                await self._put(chat, piece)
            except ChatMigrated as moved:
                await self._put(moved.new_chat_id, piece)
        except TelegramError as error:
            if isinstance(error, BadRequest) and piece.picture and unshowable(error):
                return Outcome("failed", _UNSHOWABLE)
            return ended(error, self._account)
        return Outcome("sent")

    async def _put(self, chat: int | str, piece: Piece) -> None:
        if piece.poll:
            await self._put_poll(int(chat), piece.poll)
            return
        if not piece.picture:
            await self._ask("sendmessage", _SECONDS, chat_id=chat, **_words(piece))
            return

        async def show(photo: str | InputFile) -> Any:
            seconds = _SECONDS if isinstance(photo, str) else _UPLOAD_SECONDS
            shown = {"photo": photo, "caption": piece.text, **_buttons(piece)}
            return await self._ask("sendphoto", seconds, chat_id=chat, **shown)

        await self._pictures.show(piece.picture, show)

    async def _put_poll(self, chat: int, poll: dict[str, Any]) -> None:
        """Send a quiz poll and remember whose it is, before anybody is told that it was sent."""
        fields: dict[str, Any] = {
            "chat_id": chat,
            "question": poll["question"],
            "options": [{"text": option} for option in poll["options"]],
            "type": "quiz",
            "is_anonymous": False,  # or votes would not be told
            "correct_option_id": poll["right"],
            "correct_option_ids": [poll["right"]],  # the same since Bot API 9.6; either is ignored where it is unknown
        }
        if poll["why"]:
            fields["explanation"] = poll["why"]
        if poll["seconds"]:
            fields["open_period"] = poll["seconds"]
        sent = await self._ask("sendpoll", _SECONDS, **fields)
        await polls.keep(self._service, self._account, str(sent["poll"]["id"]), chat, poll["say"])

    async def _edit(self, chat: int, message: int, piece: Piece) -> Outcome | None:
        """Put `piece` in the place of an earlier message; None when the platform will not, so that it is said anew.

        Repeating an edit does no harm, so what is in doubt is simply tried again.
        """
        await self._pace.wait(chat)
        try:
            await self._put_in_place(chat, message, piece)
        except BadRequest as error:
            return Outcome("sent", "unchanged") if unchanged(error) else None
        except TelegramError as error:
            ended = outcome(error, self._account)
            return Outcome("retry", ended.reason, 5.0) if ended.state == "doubtful" else ended
        return Outcome("sent")

    async def _put_in_place(self, chat: int, message: int, piece: Piece) -> None:
        if not piece.picture:
            await self._ask("editmessagetext", _SECONDS, chat_id=chat, message_id=message, **_words(piece))
            return

        async def show(photo: str | InputFile) -> Any:
            media = InputMediaPhoto(photo, caption=piece.text)
            where = {"chat_id": chat, "message_id": message}
            return await self._ask("editmessagemedia", _UPLOAD_SECONDS, media=media, **where, **_buttons(piece))

        await self._pictures.show(piece.picture, show, attach=True)

    async def _ask(self, method: str, seconds: float, **fields: Any) -> Any:
        """One call whose answer may take so many seconds. Returns it as it came. Raises TelegramError.

        The library's own methods make objects of every answer, a third of a message's whole cost, and nobody would
        look at them. They claim the methods' usual spelling; the platform does not mind the case.
        """
        return await self._bot.do_api_request(method, fields, read_timeout=seconds)


_UNSHOWABLE = "unshowable_picture"


def _words(piece: Piece) -> dict[str, Any]:
    return {"text": piece.text, "link_preview_options": {"is_disabled": True}, **_buttons(piece)}


def _buttons(piece: Piece) -> dict[str, Any]:
    if not piece.keyboard:
        return {}
    lines = [
        [{"text": one.label} | ({"url": one.url} if one.url else {"callback_data": one.data}) for one in row]
        for row in piece.keyboard
    ]
    return {"reply_markup": {"inline_keyboard": lines}}
