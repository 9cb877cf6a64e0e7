"""The calls about the bot itself: who it is, its commands, its webhook and its updates."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bot.played.telegram.checks import integer, read, units
from bot.played.telegram.courier import DEFAULT_KINDS, KINDS, Hook
from bot.played.telegram.wire import Call, Refused, bad, to_bool, too_many

if TYPE_CHECKING:
    from bot.played.telegram.platform import PlayedTelegram

LONGEST_POLL = 50  # seconds
_PORTS = (443, 80, 88, 8443)
_SCOPES = {
    *("default", "all_private_chats", "all_group_chats", "all_chat_administrators"),
    *("chat", "chat_administrators", "chat_member"),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One method: its name as documented, the parameters it takes, and what it does."""

    name: str
    takes: tuple[str, ...]
    call: Callable[[PlayedTelegram, Call], Any]


def rules(*listed: tuple[str, str, Callable[[PlayedTelegram, Call], Any]]) -> dict[str, Rule]:
    """Rules by lower-case name; the platform does not mind case."""
    return {name.lower(): Rule(name, tuple(takes.split()), call) for name, takes, call in listed}


def _get_me(world: PlayedTelegram, _: Call) -> dict[str, Any]:
    return me(world) | {
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def me(world: PlayedTelegram) -> dict[str, Any]:
    """The bot as a User."""
    return {"id": world.id, "is_bot": True, "first_name": world.name, "username": world.username}


async def get_updates(world: PlayedTelegram, call: Call) -> list[dict[str, Any]]:
    """getUpdates. Raises Refused with 409 beside a webhook or another poller."""
    limit = min(max(integer(call.args, "limit", 100), 1), 100)
    timeout = min(max(integer(call.args, "timeout"), 0), LONGEST_POLL)
    if not world.hook.url:
        _set_kinds(world, call)
    return await world.courier.fetch(integer(call.args, "offset"), limit, timeout)


def _set_kinds(world: PlayedTelegram, call: Call) -> None:
    kinds = read(call.args, "allowed_updates", list)
    if kinds is None:
        return
    world.faults += [f"there is no update {kind}" for kind in kinds if kind not in KINDS]
    world.courier.kinds = {kind for kind in kinds if kind in KINDS} or set(DEFAULT_KINDS)


def _set_webhook(world: PlayedTelegram, call: Call) -> bool:
    url = call.args.get("url", "")
    if not url:
        return _delete_webhook(world, call)
    now = world.machine()
    if now < world.hook_set_at + 1:
        raise too_many(1)
    world.hook_set_at = now
    secret = call.args.get("secret_token", "")
    if len(secret) > 256:
        raise bad("secret token is too long")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", secret):
        raise bad("secret token contains unallowed characters")
    _check_address(world, url)
    if to_bool(call.args.get("drop_pending_updates", "")):
        world.courier.clear()
    _set_kinds(world, call)
    connections = min(max(integer(call.args, "max_connections", 40), 1), 100)
    new, old = Hook(url, secret, connections, call.args.get("ip_address", "")), world.hook
    if new.address() != old.address():
        world.courier.set_hook(new)
    return True


def _check_address(world: PlayedTelegram, url: str) -> None:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:
        raise bad("invalid webhook URL specified") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise bad("invalid webhook URL specified")
    if world.local:  # a server of one's own started with --local takes any address
        return
    if parts.scheme != "https":
        raise bad("bad webhook: An HTTPS URL must be provided for webhook")
    if port not in _PORTS:
        raise bad("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")


def _delete_webhook(world: PlayedTelegram, call: Call) -> bool:
    if to_bool(call.args.get("drop_pending_updates", "")):
        world.courier.clear()
    if world.hook.url:
        world.courier.set_hook(Hook())
    return True


def _webhook_info(world: PlayedTelegram, _: Call) -> dict[str, Any]:
    hook, kinds = world.hook, world.courier.kinds
    info: dict[str, Any] = {"url": hook.url, "has_custom_certificate": False}
    info["pending_update_count"] = len(world.pending())
    if hook.error_at:
        info |= {"last_error_date": hook.error_at, "last_error_message": hook.error}
    if hook.url:
        info |= {"max_connections": hook.max_connections, "ip_address": hook.ip_address or "127.0.0.1"}
    return info if kinds == DEFAULT_KINDS else info | {"allowed_updates": sorted(kinds)}


def _scope(world: PlayedTelegram, call: Call) -> tuple[str, int, str]:
    scope = read(call.args, "scope", dict) or {"type": "default"}
    kind = scope.get("type")
    if kind not in _SCOPES:
        raise bad("can't parse BotCommandScope: Unsupported type specified")
    chat = integer({"chat_id": str(scope.get("chat_id", ""))}, "chat_id")
    if kind.startswith("chat") and chat not in world.people:
        raise Refused(400, "Bad Request: chat not found")
    language = call.args.get("language_code", "")
    if not re.fullmatch(r"([a-z]{2})?", language):
        raise bad("invalid language code specified")
    return kind, chat, language


def _set_commands(world: PlayedTelegram, call: Call) -> bool:
    listed = read(call.args, "commands", list) or []
    key = _scope(world, call)
    if len(listed) > 100:
        raise bad("BOT_COMMANDS_TOO_MUCH")
    for one in listed:
        if not isinstance(one, dict) or not {"command", "description"} <= one.keys():
            raise bad("can't parse BotCommand: expected an Object")
        if not re.fullmatch(r"/?[a-z0-9_]{1,32}", str(one["command"])):
            raise bad("BOT_COMMAND_INVALID")
        if not 1 <= units(str(one["description"]).strip()) <= 256:
            raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
    kept = [{"command": one["command"].removeprefix("/"), "description": one["description"]} for one in listed]
    world.commands.pop(key, None)
    if kept:
        world.commands[key] = kept
    return True


def _get_commands(world: PlayedTelegram, call: Call) -> list[dict[str, str]]:
    return world.commands.get(_scope(world, call), [])


def _delete_commands(world: PlayedTelegram, call: Call) -> bool:
    world.commands.pop(_scope(world, call), None)
    return True


def _get_file(world: PlayedTelegram, call: Call) -> dict[str, Any]:
    file = world.files.get(call.args.get("file_id", ""))
    if file is None:
        raise bad("invalid file_id")
    sizes = {"file_id": call.args["file_id"], "file_unique_id": file.unique, "file_size": len(file.content)}
    return sizes | {"file_path": file.path}


def _fetching(_: PlayedTelegram, __: Call) -> Any:
    raise NotImplementedError("getUpdates waits, so the platform calls get_updates")


CALLS = rules(
    ("getMe", "", _get_me),
    ("getUpdates", "offset limit timeout allowed_updates", _fetching),
    (
        "setWebhook",
        "url certificate ip_address max_connections allowed_updates drop_pending_updates secret_token",
        _set_webhook,
    ),
    ("deleteWebhook", "drop_pending_updates", _delete_webhook),
    ("getWebhookInfo", "", _webhook_info),
    ("setMyCommands", "commands scope language_code", _set_commands),
    ("getMyCommands", "scope language_code", _get_commands),
    ("deleteMyCommands", "scope language_code", _delete_commands),
    ("getFile", "file_id", _get_file),
)
