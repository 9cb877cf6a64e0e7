"""The calls that write to people: messages and pictures sent, edited, deleted; pressed buttons answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.played.telegram.account import me, rules
from bot.played.telegram.channels import Channel
from bot.played.telegram.checks import caption_of, integer, markup_of, picture_of, poll_of, read, text_of, units
from bot.played.telegram.people import File, Person, Poll, Received, Toast
from bot.played.telegram.wire import Call, Refused, as_text, bad, to_bool, too_many

if TYPE_CHECKING:
    from bot.played.telegram.platform import PlayedTelegram

QUERY_LIFE = 150  # seconds
_DELETABLE = 48 * 3_600
_BIG = 100_000  # bytes; uploads of the same size beyond it pass one after the other
_BACKLOG = 5.0
_NO_GIFTS = {
    **{"unlimited_gifts": False, "limited_gifts": False, "unique_gifts": False, "premium_subscription": False},
    "gifts_from_channels": False,
}
_ACTIONS = {
    *("typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document"),
    *("choose_sticker", "find_location", "record_video_note", "upload_video_note"),
}


def check_uploads(world: PlayedTelegram, call: Call) -> float:
    """The seconds an upload waits behind others of its very size. Raises Refused with 429 for too long a queue."""
    delay = 0.0
    for content in call.files.values():
        size, now = len(content), world.machine()
        if size <= _BIG:
            continue
        begin = max(now, world.uploads.get(size, 0.0))
        if begin - now > _BACKLOG:
            raise too_many(60, 3.0 / world.hurry)
        world.uploads[size] = begin + min(max(size * 1e-7, 0.2), 0.9)
        delay = max(delay, begin - now)
    return delay


def _chat(world: PlayedTelegram, call: Call) -> Person | Channel:
    """Which chat `chat_id` names, a number or the name of a channel, if the bot knows it. Raises Refused."""
    named = call.args.get("chat_id", "")
    if not named:
        raise bad("chat_id is empty")
    if named.startswith("@"):
        found = next((one for one in world.channels.values() if one.username.lower() == named[1:].lower()), None)
        if not found:
            raise Refused(400, "Bad Request: chat not found")
        return found
    number = integer(call.args, "chat_id")
    if channel := world.channels.get(number):
        return channel
    person = world.people.get(number)
    if person is None or not person.known:
        raise Refused(400, "Bad Request: chat not found")
    return person


def _writable(world: PlayedTelegram, call: Call) -> Person | Channel:
    chat = _chat(world, call)
    if isinstance(chat, Channel):
        chat.check()
        return chat
    if chat.deactivated:
        raise Refused(403, "Forbidden: user is deactivated")
    if chat.blocked:
        raise Refused(403, "Forbidden: bot was blocked by the user")
    return chat


def _get_chat(world: PlayedTelegram, call: Call) -> dict[str, Any]:
    chat = _chat(world, call)
    if isinstance(chat, Channel) and not chat.username:
        chat.check_member()  # what is public can be read by anybody
    return chat.chat() | {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": _NO_GIFTS}


def _get_member(world: PlayedTelegram, call: Call) -> dict[str, Any]:
    chat = _chat(world, call)
    if isinstance(chat, Channel):
        if not chat.username:
            chat.check_member()
        if integer(call.args, "user_id") == world.id:
            return chat.member()
    raise bad("member not found")


def _send_message(world: PlayedTelegram, call: Call) -> dict[str, Any]:
    text, entities = text_of(call.args)
    markup = markup_of(call.args)
    person = _writable(world, call)
    world.spend(person.id)
    return _deliver(world, person, {"text": text} | ({"entities": entities} if entities else {}), markup)


def _send_photo(world: PlayedTelegram, call: Call) -> dict[str, Any]:
    file = _picture(world, call, call.args.get("photo", ""))
    caption, entities = caption_of(call.args)
    markup = markup_of(call.args)
    person = _writable(world, call)
    world.spend(person.id)
    shown: dict[str, Any] = {"photo": file.sizes()}
    if caption:
        shown |= {"caption": caption} | ({"caption_entities": entities} if entities else {})
    return _deliver(world, person, shown, markup)


def _send_poll(world: PlayedTelegram, call: Call) -> dict[str, Any]:
    shown, right = poll_of(call.args)
    markup = markup_of(call.args)
    person = _writable(world, call)
    if isinstance(person, Channel):
        raise bad("non-anonymous polls can't be sent to channel chats" if not shown["is_anonymous"] else "not played")
    world.spend(person.id)
    name = str(world.dice.randrange(10**18, 9 * 10**18))
    message = _deliver(world, person, {"poll": {"id": name} | shown}, markup)
    until = world.seconds() + shown["open_period"] if "open_period" in shown else 0.0
    world.polls[name] = Poll(person, message, right, until=until)
    if shown["is_anonymous"]:
        world.faults.append("an anonymous poll: its votes are told to nobody")
    return message


def _picture(world: PlayedTelegram, call: Call, named: str) -> File:
    """The picture that `named` says: an upload or the file_id of one before. Raises Refused."""
    content = call.files.get(named.removeprefix("attach://") if named else "photo")
    if content is not None and (not named or named.startswith("attach://")):
        return File.keep(world, content, picture_of(content))
    if not named:
        raise bad("there is no photo in the request")
    if named.startswith(("http://", "https://")):
        raise bad("failed to get HTTP URL content")  # the played platform reaches nobody
    file = world.files.get(named)
    if file is None:
        raise bad("wrong remote file identifier specified: Wrong string length")
    if not file.size:
        raise bad("can't use file of type Document as Photo")
    return file


def _deliver(
    world: PlayedTelegram, person: Person | Channel, shown: dict[str, Any], markup: dict[str, Any] | None
) -> dict[str, Any]:
    message: dict[str, Any] = {"message_id": person.next_id(), "chat": person.chat()}
    message |= person.sender() if isinstance(person, Channel) else {"from": me(world)}
    message |= {"date": int(world.seconds())} | shown
    if markup and "inline_keyboard" in markup:
        message["reply_markup"] = markup
    elif markup:
        person.keyboard = markup
    person.messages[message["message_id"]] = message
    person.received.append(Received(world, message, world.clock()))
    return message


def _to_edit(world: PlayedTelegram, call: Call) -> tuple[Person | Channel, dict[str, Any]]:
    person = _writable(world, call)
    if not call.args.get("message_id"):
        raise bad("message identifier is not specified")
    message = person.messages.get(integer(call.args, "message_id"))
    if message is None:
        raise Refused(400, "Bad Request: message to edit not found")
    if isinstance(person, Person) and message["from"]["id"] != world.id:
        raise bad("message can't be edited")
    return person, message


def _edit_text(world: PlayedTelegram, call: Call) -> dict[str, Any]:
    text, entities = text_of(call.args)
    person, message = _to_edit(world, call)
    if "text" not in message:
        raise bad("there is no text in the message to edit")
    return _change(world, person, message, {"text": text, "entities": entities}, markup_of(call.args, editing=True))


def _edit_caption(world: PlayedTelegram, call: Call) -> dict[str, Any]:
    caption, entities = caption_of(call.args)
    person, message = _to_edit(world, call)
    if "photo" not in message:
        raise bad("there is no caption in the message to edit")
    changed = {"caption": caption, "caption_entities": entities}
    return _change(world, person, message, changed, markup_of(call.args, editing=True))


def _edit_media(world: PlayedTelegram, call: Call) -> dict[str, Any]:
    media = {name: as_text(value) for name, value in (read(call.args, "media", dict) or {}).items()}
    if media.get("type") != "photo" or not media.get("media"):
        raise bad("can't parse InputMedia: only photos are played")
    caption, entities = caption_of(media)
    person, message = _to_edit(world, call)
    sizes = _picture(world, call, media["media"]).sizes()
    changed = {"photo": sizes, "caption": caption, "caption_entities": entities, "text": "", "entities": []}
    return _change(world, person, message, changed, markup_of(call.args, editing=True))


def _edit_markup(world: PlayedTelegram, call: Call) -> dict[str, Any]:
    person, message = _to_edit(world, call)
    return _change(world, person, message, {}, markup_of(call.args, editing=True))


def _change(
    world: PlayedTelegram,
    person: Person | Channel,
    message: dict[str, Any],
    changed: dict[str, Any],
    markup: dict[str, Any] | None,
) -> dict[str, Any]:
    """Show the message anew; an edit without a keyboard takes the keyboard away."""
    new = {name: value for name, value in (message | changed | {"reply_markup": markup}).items() if value}
    if {**new, "edit_date": 0} == {**message, "edit_date": 0}:
        raise Refused(
            400,
            "Bad Request: message is not modified: specified new message content and reply markup are exactly the "
            "same as a current content and reply markup of the message",
        )
    new["edit_date"] = int(world.seconds())
    person.messages[message["message_id"]] = new
    person.shown(message["message_id"]).change(new)
    return new


def _delete(world: PlayedTelegram, call: Call) -> bool:
    person = _chat(world, call)
    message = person.messages.get(integer(call.args, "message_id"))
    if message is None:
        raise Refused(400, "Bad Request: message to delete not found")
    if world.seconds() - message["date"] > _DELETABLE:
        raise Refused(400, "Bad Request: message can't be deleted")
    del person.messages[message["message_id"]]
    for received in person.received:
        if received.message_id == message["message_id"]:
            received.deleted = True
    return True


def _answer_query(world: PlayedTelegram, call: Call) -> bool:
    text, url = call.args.get("text", ""), call.args.get("url", "")
    if units(text) > 200:
        raise bad("MESSAGE_TOO_LONG")
    query = world.queries.get(call.args.get("callback_query_id", ""))
    if query is None or query.answered or world.seconds() > query.at + QUERY_LIFE:
        raise Refused(
            400,
            "Bad Request: query is too old and response timeout expired or query ID is invalid",
            fault=query is None,
        )
    if url and not url.startswith((f"https://t.me/{world.username}?", "tg://")):
        raise bad("URL_INVALID")
    query.answered = True
    query.person.toasts.append(Toast(text, to_bool(call.args.get("show_alert", "")), url))
    return True


def _chat_action(world: PlayedTelegram, call: Call) -> bool:
    if call.args.get("action") not in _ACTIONS:
        raise bad("wrong parameter action in request")
    _writable(world, call).actions.append(call.args["action"])
    return True


_SENT = (
    "business_connection_id chat_id message_thread_id direct_messages_topic_id disable_notification protect_content "
    "allow_paid_broadcast message_effect_id suggested_post_parameters reply_parameters reply_markup parse_mode "
)
_EDITED = "business_connection_id chat_id message_id inline_message_id reply_markup "
CALLS = rules(
    ("sendMessage", _SENT + "text entities link_preview_options", _send_message),
    ("sendPhoto", _SENT + "photo caption caption_entities show_caption_above_media has_spoiler", _send_photo),
    (
        "sendPoll",
        _SENT + "question question_parse_mode question_entities options is_anonymous type allows_multiple_answers "
        "allows_revoting shuffle_options correct_option_id correct_option_ids explanation explanation_parse_mode "
        "explanation_entities open_period close_date is_closed description",
        _send_poll,
    ),
    ("editMessageText", _EDITED + "text parse_mode entities link_preview_options rich_message", _edit_text),
    (
        "editMessageCaption",
        _EDITED + "caption parse_mode caption_entities show_caption_above_media",
        _edit_caption,
    ),
    ("editMessageMedia", _EDITED + "media", _edit_media),
    ("editMessageReplyMarkup", _EDITED, _edit_markup),
    ("deleteMessage", "chat_id message_id", _delete),
    ("getChat", "chat_id", _get_chat),
    ("getChatMember", "chat_id user_id", _get_member),
    ("answerCallbackQuery", "callback_query_id text show_alert url cache_time", _answer_query),
    ("sendChatAction", "business_connection_id chat_id message_thread_id action", _chat_action),
)
