"""What a push says: its plain tree, what may be in it, and the message of each language, for buttons and for words.

A push's `content` is `{"kind", "text": {language: text}, "poster", "buttons": [words]}`; a button's words are one text
for all languages or `{language: text}`. Who gets it and when is kept beside it. Knows no database and sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from content import articles
from content.library import Library
from content.message import Choice, Message, Picture
from content.plan.outreach import News, Push
from content.plan.texts import CHANNEL, FIELDS, TELEGRAM_BUTTON_BYTES, WECHAT_TEXT_BYTES, strange

KINDS = ("text", "poster", "article", "quiz", "survey", "lottery")
ABOUT = ("campaign", "service")
WAYS = ("mass", "service")  # on WeChat; a template message may not be used for marketing
TEXT_MOST = 900  # characters: with the line about leaving it still fits Telegram's caption of 1,024
BYTES_MOST = 1900  # and WeChat's text of 2,048 bytes
BUTTONS_MOST = 5
CHANNELS_MOST = 5
SCENE = "w_"  # of a link that opens the bot and says the command behind it
POSTERS = "posters/"

Fault = tuple[str, str]  # Chinese, English


def of_plan(push: Push, languages: Sequence[str]) -> dict[str, Any]:
    """The content of a push that the plan has written."""
    return {
        "kind": push.kind or ("article" if push.article else "poster" if push.poster else "text"),
        "text": {language: push.text[language] for language in languages},
        "poster": (push.poster or "").removeprefix(POSTERS),
        "buttons": [one_for_all(dict(button.items())) for button in push.buttons or ()],
        "about": push.about,
        "wechat": "mass" if push.way == "mass" else "service",
        **({"channels": list(push.channels)} if push.channels else {}),
        **({"article": _article(push.article)} if push.article else {}),
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
    elif content.get("kind") == "article":
        yield "图文要选一张海报作封面", "an article needs a poster as its cover"
    if content.get("kind") == "article":
        yield from articles.faults(content.get("article", {}), library)
    buttons = content.get("buttons", [])
    if len(buttons) > BUTTONS_MOST:
        yield f"按钮最多 {BUTTONS_MOST} 个", f"at most {BUTTONS_MOST} buttons"
    yield from _channel_faults(channels(content))
    for place, button in enumerate(buttons, 1):
        for words, language in {word(button, language): language for language in plan.languages}.items():
            yield from _button_faults(place, words, language, library)
    if content.get("kind") == "survey":
        example = next(iter(library.survey_words), "")
        yield from _way_in_faults(buttons, library, ("问卷", "survey"), library.leads_to_survey, example)
    elif content.get("kind") == "quiz":
        example = library.phrases.say(plan.languages[0], "word.quiz") if library.quizzes else ""
        yield from _way_in_faults(buttons, library, ("答题", "quiz"), library.leads_to_quiz, example)


def _way_in_faults(
    buttons: Sequence[str | Mapping[str, str]],
    library: Library,
    what: tuple[str, str],
    leads: Callable[[str], bool],
    example: str,
) -> Iterator[Fault]:
    """A push about `what` needs a button that leads there in each language; without an `example` the plan has none."""
    zh, en = what
    for language in library.plan.languages:
        if any(leads(word(button, language)) for button in buttons):
            continue
        if example:
            yield (
                f"{zh}推送要有一个通向{zh}的按钮（{language}），例如“{example}”",
                f"a {en} push needs a button such as {example!r} in {language}",
            )
        else:
            yield f"方案里没有{zh}", f"the plan has no {en}"
        return


def _button_faults(place: int, words: str, language: str, library: Library) -> Iterator[Fault]:
    if not words.strip():
        yield f"第 {place} 个按钮缺少文字（{language}）", f"button {place} says nothing in {language}"
    elif not library.understands(words):
        yield f"按钮“{words}”不是机器人听得懂的话", f"the button {words!r} is nothing that the bot understands"
    elif len(words.encode()) > TELEGRAM_BUTTON_BYTES:
        yield f"按钮“{words}”太长", f"the button {words!r} is too long"


def _channel_faults(names: Sequence[str]) -> Iterator[Fault]:
    if len(names) > CHANNELS_MOST:
        yield f"频道最多 {CHANNELS_MOST} 个", f"at most {CHANNELS_MOST} channels"
    for name in names:
        if not re.fullmatch(CHANNEL, name):
            yield f"{name} 不是频道：写 @名称，或 -100 开头的编号", f"{name} names no channel: write @name, or -100…"
    if len(set(map(str.casefold, names))) != len(names):
        yield "同一个频道写了两次", "the same channel stands twice"


def channels(content: Mapping[str, Any]) -> list[str]:
    """The Telegram channels that get one post each."""
    return [str(name) for name in content.get("channels", ())]


def post(content: Mapping[str, Any], library: Library, revision: int) -> dict[str, Any]:
    """What a channel gets: the plan's first language, and buttons that open the bot, each with a `scene` (`w_quiz`)
    that says its words there."""
    language = library.plan.languages[0]
    tree = both(content, library, revision, language)[0]
    taps = [word(button, language) for button in content.get("buttons", ())]
    opening = [{"label": said, "scene": f"{SCENE}{library.command(said)}"} for said in taps if said]
    links = [one for one in tree["choices"] if "url" in one]
    return {**{part: tree[part] for part in ("text", "picture") if part in tree}, "choices": [*links, *opening]}


def word(button: str | Mapping[str, str], language: str) -> str:
    """What tapping a button says in a language."""
    return button if isinstance(button, str) else str(button.get(language, ""))


def one_for_all(words: Mapping[str, str]) -> str | dict[str, str]:
    """A button whose words are the same in every language is one text; one that has words in a single language says
    these in all."""
    given = {language: one for language, one in words.items() if one}
    same = set(given.values())
    return same.pop() if len(same) == 1 and (len(given) in (1, len(words))) else dict(words)


def messages(content: Mapping[str, Any], library: Library, revision: int) -> dict[str, list[dict[str, Any]]]:
    """By language: the message with buttons, and the same where a button is a word to be replied.

    Every push can be left: the last button, or the last words, say how.
    """
    return {language: both(content, library, revision, language) for language in library.plan.languages}


def _article(news: News) -> dict[str, Any]:
    told = {"title": dict(news.title.items()), "digest": dict(news.digest.items()) if news.digest else {}}
    return {**told, "file": news.body, "author": news.author or ""}


def picture_name(poster: str, language: str, revision: int) -> str:
    """The name of a poster drawn for everybody, under a revision's files."""
    return f"campaign:{poster}:{language}:{revision}"


def both(content: Mapping[str, Any], library: Library, revision: int, language: str) -> list[dict[str, Any]]:
    """One language of `messages`."""
    say = library.phrases.say
    text, poster = library.fill(str(content["text"][language]).strip(), language), str(content.get("poster", ""))
    picture = Picture(picture_name(poster, language, revision), library.plan.title[language]) if poster else None
    choices = [Choice(said, said) for said in (word(button, language) for button in content.get("buttons", ())) if said]
    leave = library.choice(language, "leave")
    spoken = [text, *below(content, library, language)]
    said = "\n".join(spoken)
    if content.get("kind") != "article":
        return [Message(text, picture, (*choices, leave)).tree(), Message(said, picture).tree()]
    article, link = content.get("article", {}), library.fill("{address}", language)
    title = articles.said(article, "title", library, language)
    more = (Choice(say(language, "pushed.more"), url=link),) if link else ()
    shown = articles.tree(article, library, language, spoken, link)
    tapped = Message(f"{title}\n\n{text}", picture, (*more, *choices, leave))
    typed = Message("\n\n".join(filter(None, (title, said, link))), picture)
    return [tapped.tree(), {**typed.tree(), "article": shown}]


def below(content: Mapping[str, Any], library: Library, language: str) -> list[str]:
    """What stands below the words where there are no buttons: what may be replied, and how to leave."""
    say = library.phrases.say
    taps = [said for said in (word(button, language) for button in content.get("buttons", ())) if said]
    leave = say(language, "pushed.leave", word=library.choice(language, "leave").say)
    if not taps:
        return [leave]
    words = say(language, "pushed.or").join(f"“{said}”" for said in taps)
    return [say(language, "pushed.reply", words=words), leave]
