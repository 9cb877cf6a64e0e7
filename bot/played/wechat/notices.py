"""Notices to one person as the platform plays them: subscription notices, one for each consent, and template messages.

Sources: "Sending a subscription notice" and the events of subscription notices; "Template messages" with
TEMPLATESENDJOBFINISH. Unverified for official accounts: the lengths of values (they are those of mini programs), and
client_msg_id, by which a template message is said to be deduped for ten minutes, which is why it is not played.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.played.wechat.calls import Code, body_of, error, refusing
from bot.played.wechat.wire import Request

if TYPE_CHECKING:
    from bot.played.wechat.people import Person
    from bot.played.wechat.platform import PlayedWeChat

# Characters of a value, by the kind of field that its name begins with.
_LENGTHS = {
    **{"thing": 20, "character_string": 32, "letter": 32, "number": 32, "symbol": 5, "phrase": 5, "name": 20},
    **{"phone_number": 17, "car_number": 8},
}


def _subscription(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    body = body_of(request)
    person, template = _person(world, body), str(body.get("template_id") or "")
    shown = _shown(world.notices, template, body)
    if not person.consents[template]:
        raise Code(43101)
    person.consents[template] -= 1
    person.receive("notice", template, shown)
    item = f"<TemplateId><![CDATA[{template}]]></TemplateId><MsgID>{world.serial()}</MsgID>"
    ended = "<ErrorCode>0</ErrorCode><ErrorStatus><![CDATA[success]]></ErrorStatus>"
    event = "<Event><![CDATA[subscribe_msg_sent_event]]></Event>"
    inside = f"<SubscribeMsgSentEvent><List>{item}{ended}</List></SubscribeMsgSentEvent>"
    world.later(person.envelope("event", event + inside))
    return error(0)


def _template(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    body = body_of(request)
    person, template = _person(world, body), str(body.get("template_id") or "")
    if person.since is None:
        raise Code(43004)
    shown = _shown(world.templates, template, body)
    number = world.serial() % 10**9
    status = "success"
    if person.refuses_messages:
        status = "failed:user block"
    elif person.unreachable:
        status = "failed: system failed"
    else:
        person.receive("template", template, shown)
    event = "<Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>"
    inside = f"<MsgID>{number}</MsgID><Status><![CDATA[{status}]]></Status>"
    world.later(person.envelope("event", event + inside))
    return error(0) | {"msgid": number}


def _person(world: PlayedWeChat, body: dict[str, Any]) -> Person:
    person = world.people.get(str(body.get("touser")))
    if person is None:
        raise Code(40003)
    return person


def _shown(known: dict[str, tuple[str, ...]], template: str, body: dict[str, Any]) -> str:
    """What the person sees, field by field. Raises Code."""
    if template not in known:
        raise Code(40037)
    data = body.get("data")
    if not isinstance(data, dict) or set(data) != set(known[template]):
        raise Code(47003)
    lines = []
    for name in known[template]:
        value = data[name].get("value") if isinstance(data[name], dict) else None
        most = _LENGTHS.get(name.rstrip("0123456789"), 200)
        if not isinstance(value, str) or not 1 <= len(value) <= most:
            raise Code(47003)
        lines.append(f"{name}={value}")
    return "\n".join(lines)


CALLS = {
    "message/subscribe/bizsend": refusing(_subscription),
    "message/template/send": refusing(_template),
}
