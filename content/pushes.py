"""What a push says: its plain tree, what may be in it, and the message of each language, for buttons and for words.

A push's `content` is `{"kind", "text": {language: text}, "poster", "buttons": [words]}`; who gets it and when is kept
beside it. Knows no database and sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import Formatter
from typing import Any

from content.library import Library
from content.message import Choice, Message, Picture
from content.plan.outreach import Push
from content.plan.texts import FIELDS, TELEGRAM_BUTTON_BYTES, WECHAT_TEXT_BYTES

KINDS = ("text", "poster", "quiz", "survey", "lottery")
ABOUT = ("campaign", "service")
WAYS = ("mass", "service")  # on WeChat; a template message may not be used for marketing
TEXT_MOST = 900  # characters: with the line about leaving it still fits Telegram's caption of 1,024
BYTES_MOST = 1900  # and WeChat's text of 2,048 bytes
BUTTONS_MOST = 5
POSTERS = "posters/"

Fault = tuple[str, str]  # Chinese, English


def of_plan(push: Push, languages: Sequence[str]) -> dict[str, Any]:
    """The content of a push that the plan has written."""
    return {
        "kind": "poster",
        "text": {language: push.text[language] for language in languages},
        "poster": push.poster.removeprefix(POSTERS),
        "buttons": list(push.buttons or ()),
        "about": push.about,
        "wechat": "mass" if push.way == "mass" else "service",
    }


def faults(content: Mapping[str, Any], library: Library) -> Iterator[Fault]:
    """What keeps this content from being sent under this plan."""
    found = list(_faults(content, library))
    yield from found
    for language in () if found else library.plan.languages:
        if len(both(content, library, library.revision, language)[1]["text"].encode()) > WECHAT_TEXT_BYTES:
            yield (
                f"文案加上按钮的说明太长（{language}）：微信最多 {WECHAT_TEXT_BYTES} 字节",
                f"the text with its buttons in words is too long in {language}: WeChat takes {WECHAT_TEXT_BYTES} bytes",
            )


def _faults(content: Mapping[str, Any], library: Library) -> Iterator[Fault]:
    plan = library.plan
    if content.get("kind") not in KINDS:
        yield f"推送的种类要是 {'、'.join(KINDS)} 之一", f"a push is one of {', '.join(KINDS)}"
    if content.get("about") not in ABOUT or content.get("wechat") not in WAYS:
        yield "推送的性质或微信发送方式不对", "what the push is about, or its way on WeChat, is not known"
    for language in plan.languages:
        text = str(content.get("text", {}).get(language, "")).strip()
        if not text:
            yield f"缺少文案（{language}）", f"the text is missing in {language}"
        elif odd := strange(text):
            fields = sorted(FIELDS)
            yield (
                f"文案（{language}）里的 {odd} 填不出来：花括号里只能写 {'、'.join(fields)}，要原样显示就写两个 {{{{",
                f"nothing fills {odd} in the text in {language}: braces hold one of {', '.join(fields)}; "
                "to show a brace write it twice",
            )
        elif len(filled := library.fill(text, language)) > TEXT_MOST or len(filled.encode()) > BYTES_MOST:
            yield (
                f"文案太长（{language}）：最多 {TEXT_MOST} 字且 {BYTES_MOST} 字节",
                f"the text in {language} is too long: at most {TEXT_MOST} characters and {BYTES_MOST} bytes",
            )
    poster = str(content.get("poster", ""))
    if poster:
        drawn = library.poster(poster)
        missing = [language for language in plan.languages if drawn is None or language not in drawn.languages]
        if missing:
            yield f"方案里没有海报 {poster}（{missing[0]}）", f"the plan has no poster {poster} in {missing[0]}"
    elif content.get("kind") == "poster":
        yield "海报推送要选一张海报", "a poster push needs a poster"
    buttons = content.get("buttons", [])
    if len(buttons) > BUTTONS_MOST:
        yield f"按钮最多 {BUTTONS_MOST} 个", f"at most {BUTTONS_MOST} buttons"
    if content.get("kind") == "survey" and not any(library.leads_to_survey(str(words)) for words in buttons):
        words = next(iter(library.survey_words), "")
        if words:
            yield (
                f"问卷推送要有一个通向问卷的按钮，例如“{words}”",
                f"a survey push needs a button such as {words!r}",
            )
        else:
            yield "方案里没有问卷", "the plan has no survey"
    for words in buttons:
        if not library.understands(str(words)):
            yield f"按钮“{words}”不是机器人听得懂的话", f"the button {words!r} is nothing that the bot understands"
        elif len(str(words).encode()) > TELEGRAM_BUTTON_BYTES:
            yield f"按钮“{words}”太长", f"the button {words!r} is too long"


def messages(content: Mapping[str, Any], library: Library, revision: int) -> dict[str, list[dict[str, Any]]]:
    """By language: the message with buttons, and the same where a button is a word to be replied.

    Every push can be left: the last button, or the last words, say how.
    """
    return {language: both(content, library, revision, language) for language in library.plan.languages}


def picture_name(poster: str, language: str, revision: int) -> str:
    """The name of a poster drawn for everybody, under a revision's files."""
    return f"campaign:{poster}:{language}:{revision}"


def both(content: Mapping[str, Any], library: Library, revision: int, language: str) -> list[dict[str, Any]]:
    """One language of `messages`."""
    say = library.phrases.say
    text, poster = library.fill(str(content["text"][language]).strip(), language), str(content.get("poster", ""))
    picture = Picture(picture_name(poster, language, revision), library.plan.title[language]) if poster else None
    choices = [Choice(str(words), str(words)) for words in content.get("buttons", ())]
    leave = library.choice(language, "leave")
    spoken = [text]
    if choices:
        words = say(language, "pushed.or").join(f"“{choice.say}”" for choice in choices)
        spoken.append(say(language, "pushed.reply", words=words))
    spoken.append(say(language, "pushed.leave", word=leave.say))
    return [Message(text, picture, (*choices, leave)).tree(), Message("\n".join(spoken), picture).tree()]


def strange(text: str) -> str:
    """What stands in braces and is no field that texts may use; empty when all is well."""
    if "{" not in text:
        return ""
    try:
        for _, name, form, conversion in Formatter().parse(text):
            if name is not None and (name not in FIELDS or form or conversion):
                return "{" + name + "}"
    except ValueError:
        return "{ }"
    return ""
