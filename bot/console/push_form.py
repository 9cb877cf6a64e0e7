"""The form of a push: what somebody typed, as it stood, and the push that it makes.

Keeps every word as it was sent, so that a refused form is shown again whole. Whether the content can be sent is said by
`content.pushes`, whether the act may be done by `campaigns.pushing`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from bot.console.pages.push_words import FORM
from bot.console.visit import Form, Wrong
from content import articles
from content import pushes as saying
from content.occasions import weekly
from content.plan.model import Plan
from content.plan.outreach import WEEKDAYS
from storage.pushes import Push

AUDIENCE_MAX = 2000
LATEST_MAX = 7 * 24 * 60  # minutes
REST_MAX = 24 * 60
BUTTON_MAX = 64
_SINGLE = (
    *("name", "kind", "poster", "wechat", "about", "audience", "often", "at", "weekday", "hour", "cron", "latest"),
    *("first", "rest", "errors", "channels", "author", "file", "key", "seen"),
)
_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}")
_WEEKLY = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* ([a-z]{3})")


@dataclass(frozen=True, slots=True)
class Written:
    """What a form asks for, as the acts of `campaigns.pushing` take it."""

    name: str
    content: dict[str, Any]
    audience: str
    schedule: dict[str, Any]
    limits: dict[str, Any]

    def told(self) -> dict[str, Any]:
        """The acts' keyword arguments."""
        return {name: getattr(self, name) for name in self.__slots__}


def buttons(languages: Sequence[str]) -> list[dict[str, str]]:
    """The names of the fields of each button, by language; what stands in one alone is said in all."""
    first = languages[0]
    return [
        {one: f"button{number}" if one == first else f"button{number}-{one}" for one in languages}
        for number in range(1, saying.BUTTONS_MOST + 1)
    ]


def _buttons(languages: Sequence[str]) -> list[str]:
    return [name for names in buttons(languages) for name in names.values()]


def blank(plan: Plan, now: datetime) -> dict[str, str]:
    """An empty form with a key of its own: tomorrow at ten, to everyone."""
    tomorrow = now.astimezone(plan.zone).date() + timedelta(days=1)
    return {
        **dict.fromkeys(_names(plan.languages), ""),
        **{"kind": "text", "wechat": "mass", "about": "campaign", "audience": "everyone", "often": "once"},
        **{"at": f"{tomorrow.isoformat()}T10:00", "weekday": "fri", "hour": "19:30", "latest": "120"},
        **{"first": "100", "rest": "30", "errors": "20", "key": secrets.token_urlsafe(18)},
    }


def of_push(push: Push, plan: Plan, now: datetime) -> dict[str, str]:
    """The form of a push as it is written."""
    content, schedule, limits = push.content, push.schedule, push.limits
    fields = blank(plan, now) | {
        **{"name": push.name, "audience": push.audience, "poster": str(content.get("poster", ""))},
        **{name: str(content.get(name, "")) for name in ("kind", "wechat", "about")},
        **{f"text-{language}": str(content.get("text", {}).get(language, "")) for language in plan.languages},
        **_taps(content.get("buttons", ()), plan.languages),
        "channels": " ".join(saying.channels(content)),
        **_written_article(content.get("article", {}), plan.languages),
        **{"latest": str(schedule.get("latest", 120)), "first": f"{int(limits['first']) / 100:g}"},
        **{"rest": str(limits["rest"]), "errors": str(limits["errors"]), "seen": seen(push)},
    }
    if "at" in schedule:
        return fields | {"often": "once", "at": str(schedule["at"])[:16]}
    cron = str(schedule.get("cron", ""))
    again = _WEEKLY.fullmatch(cron)
    if again and again[3] in WEEKDAYS:
        return fields | {"often": "weekly", "weekday": again[3], "hour": f"{again[2]:0>2}:{again[1]:0>2}", "cron": cron}
    return fields | {"often": "cron", "cron": cron}


def _taps(said: Sequence[Any], languages: Sequence[str]) -> dict[str, str]:
    """The fields of buttons; one that says the same everywhere stands in the first language alone."""
    fields = {}
    for names, button in zip(buttons(languages), said, strict=False):
        if isinstance(button, str):
            fields[names[languages[0]]] = button
        else:
            fields |= {names[language]: saying.word(button, language) for language in languages}
    return fields


def _written_article(article: Mapping[str, Any], languages: Sequence[str]) -> dict[str, str]:
    fields = {name: str(article.get(name, "")) for name in ("author", "file")}
    for part in articles.PARTS:
        words = article.get(part, {})
        fields |= {f"{part}-{language}": str(words.get(language, "")) for language in languages}
    return fields


def _article(fields: Mapping[str, str], languages: Sequence[str]) -> dict[str, Any]:
    """The article that was written; one whose body lies in the plan's file goes on lying there, unless it is written
    anew."""
    told: dict[str, Any] = {
        part: {language: fields[f"{part}-{language}"] for language in languages} for part in articles.PARTS
    }
    kept = {"file": fields["file"]} if fields["file"] else {}
    if kept and not any(told["body"].values()):
        del told["body"]
    return {**told, **kept, "author": fields["author"]}


def seen(push: Push) -> str:
    """What says that a push is still what somebody saw."""
    return push.changed_at.isoformat() if push.changed_at else ""


def of_form(form: Form, languages: Sequence[str]) -> dict[str, str]:
    """What was sent, whatever it is."""
    return {name: form.text(name, 64 * 1024, needed=False) for name in _names(languages)}


def _names(languages: Sequence[str]) -> list[str]:
    parts = [f"{part}-{language}" for part in ("text", *articles.PARTS) for language in languages]
    return [*_SINGLE, *_buttons(languages), *parts]


def key_of(fields: Mapping[str, str], member: int) -> str:
    """The key under which this form makes one push, and that no other member and no plan can have. Raises Wrong."""
    if not _KEY.fullmatch(fields["key"]):
        raise Wrong(*FORM["no_key"])
    return f"form/{member}/{fields['key']}"


def read(fields: Mapping[str, str], languages: Sequence[str]) -> Written:
    """The push that was written. Raises Wrong, naming the field."""
    return Written(
        name=_text(fields, "name", 60),
        content=content_of(fields, languages),
        audience=_text(fields, "audience", AUDIENCE_MAX),
        schedule=schedule_of(fields),
        limits={
            "first": _hundredths(fields, "first"),
            "rest": _whole(fields, "rest", 1, REST_MAX),
            "errors": _whole(fields, "errors", 1, 100),
        },
    )


def content_of(fields: Mapping[str, str], languages: Sequence[str]) -> dict[str, Any]:
    """What it says, complete or not."""
    taps = [{language: fields[name] for language, name in names.items()} for names in buttons(languages)]
    said: list[Any] = []
    for tap in taps:
        one = saying.one_for_all(tap)
        if any(tap.values()) and one not in said:
            said.append(one)
    return {
        **{"kind": fields["kind"], "poster": fields["poster"], "about": fields["about"] or "campaign"},
        **{"wechat": fields["wechat"], "buttons": said},
        **({"channels": named} if (named := [*filter(None, re.split(r"[\s,，、;；]+", fields["channels"]))]) else {}),
        "text": {language: fields[f"text-{language}"] for language in languages},
        **({"article": _article(fields, languages)} if fields["kind"] == "article" else {}),
    }


def schedule_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """When it goes. Raises Wrong."""
    latest = {"latest": _whole(fields, "latest", 1, LATEST_MAX)}
    if fields["often"] == "once":
        at = _text(fields, "at", 40)
        return {"at": f"{at}:00" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d", at) else at, **latest}
    if fields["often"] == "weekly":
        try:
            hour = time.fromisoformat(_text(fields, "hour", 8))
        except ValueError:
            raise _wrong("no_time", "hour") from None
        if fields["weekday"] not in WEEKDAYS:
            raise _wrong("choose", "weekday")
        return {"cron": weekly(fields["weekday"], hour), **latest}
    if fields["often"] == "cron":
        return {"cron": " ".join(_text(fields, "cron", 200).split()), **latest}
    raise _wrong("choose", "often")


def _text(fields: Mapping[str, str], name: str, most: int) -> str:
    if not fields[name]:
        raise _wrong("missing", name)
    if len(fields[name]) > most:
        raise _wrong("too_long", name, most=most)
    return fields[name]


def _whole(fields: Mapping[str, str], name: str, least: int, most: int) -> int:
    value = fields[name]
    if not (value.isascii() and value.isdigit() and len(value) < 8 and least <= int(value) <= most):
        raise _wrong("no_whole", name, least=least, most=most)
    return int(value)


def _hundredths(fields: Mapping[str, str], name: str) -> int:
    value = fields[name]
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,2})?", value) or not 1 <= round(float(value) * 100) <= 10_000:
        raise _wrong("no_share", name)
    return round(float(value) * 100)


def _wrong(what: str, field: str, **values: object) -> Wrong:
    (zh, en), (label_zh, label_en) = FORM[what], FORM[field]
    return Wrong(zh.format(field=label_zh, **values), en.format(field=label_en, **values))
