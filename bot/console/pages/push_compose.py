"""The composer of a push: written anew or changed, looked at as each channel will show it, counted, saved, submitted.

A press on preview stores nothing; the same form sent twice makes one push. What is refused comes back as it was typed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from bot.console import page, post
from bot.console import push_form as forms
from bot.console.pages.push_words import FORM, KIND, WEEKDAYS, Say, suggestions, wall
from bot.console.pages.pushes import PUSHES
from bot.console.push_preview import audience, bubbles, picture_url
from bot.console.visit import Missing, Visit, Wrong
from campaigns import mechanics, push_audience, push_clock, pushing
from campaigns.desk import ActRefused, NotAllowed
from content import articles, posters
from content import pushes as saying
from content.library import Library
from storage import pushes
from storage.pushes import Push

WORDS = {
    "new": ("写推送", "Write a push"),
    "edit": ("修改推送 {name}", "Change the push {name}"),
    "back": ("全部推送", "All pushes"),
    "back_one": ("回到这条推送", "Back to the push"),
    "again": ("已经复核过：修改后要重新复核。", "It was approved: changed, it needs approval again."),
    "of_plan": (
        "这条推送来自方案；方案里再改它并应用时，以方案为准。",
        "This push comes from the plan; when the plan changes it and is applied, the plan's words count.",
    ),
    "what": ("说什么", "What it says"),
    "name_hint": ("给同事看的，用户看不到", "for colleagues; subscribers do not see it"),
    "kind": ("种类", "Kind"),
    "text": ("文案（{language}）", "Text ({language})"),
    "text_hint": (
        "最多 {most} 字，{bytes} 字节；可以写 {fields} 等，发送时填上",
        "at most {most} characters and {bytes} bytes; {fields} and the like are filled in",
    ),
    "poster": ("海报", "Poster"),
    "no_poster": ("不用海报", "no poster"),
    "poster_broken": ("画不出来", "cannot be drawn"),
    "buttons": ("按钮", "Buttons"),
    "buttons_hint": (
        "机器人听得懂的话，点了就像打了这些字；微信上写成“回复……”。每种语言可以写各自的话，只写一种就都用它。"
        "退订会自动加在最后。",
        "Words that the bot understands: tapping says them. On WeChat they read “Reply …”. Each language may have its "
        "own; those of one alone are used in all. How to leave is added at the end.",
    ),
    "article_parts": ("图文的标题、摘要和正文", "Title, digest and body of an article"),
    "article_hint": (
        "种类选“图文”时用，海报作封面；微信群发里是图文，别处是标题、上面的文案和“阅读全文”。"
        "正文里 ## 是小标题，- 是列表，**粗体**，空行分段。",
        "For the kind Article, with the poster as its cover: an article in WeChat's mass sends, elsewhere its title, "
        "the text above and “Read more”. In the body ## begins a heading, - a list, ** encloses bold, an empty line "
        "parts paragraphs.",
    ),
    "title": ("标题（{language}）", "Title ({language})"),
    "digest": ("摘要（{language}）", "Digest ({language})"),
    "body": ("正文（{language}）", "Body ({language})"),
    "body_file": (
        "正文在方案文件 {file} 里；在这里写就用这里的。",
        "The body is the plan's file {file}; what is written here takes its place.",
    ),
    "author_of": ("作者", "Author"),
    "channels": ("Telegram 频道", "Telegram channels"),
    "channels_hint": (
        "每个频道发一次，机器人要是管理员；写 @名称，几个就用空格隔开。按钮会打开机器人。不用就空着",
        "one post to each, where the bot is an administrator; @names with spaces between. Buttons open the bot. "
        "Or leave it empty",
    ),
    "also_to": ("另外在 {names} 各发一次", "It is also posted once to {names}"),
    "in_channel": ("Telegram 频道", "Telegram channel"),
    "in_notice": ("作为订阅通知（微信按字段截短）", "As a subscription notice (WeChat's fields cut it short)"),
    "button": ("按钮 {number}（{language}）", "Button {number} ({language})"),
    "whom": ("发给谁、什么时候", "To whom, and when"),
    "audience": ("发给谁", "To whom"),
    "audience_hint": (
        "下面的一个词，或一条规则，例如：积分 >= 100 且 非 访客",
        "one of these words, or a rule such as: points >= 100 and not guest",
    ),
    "wechat": ("微信上怎么发", "On WeChat"),
    "wechat.mass": (
        "群发：每人每月四条；互动过的人改收客服消息",
        "mass send: four a month for each person; who wrote lately gets a customer-service message",
    ),
    "wechat.service": (
        "只发给 48 小时内互动过的人（客服消息）",
        "only to those who wrote within 48 hours (customer-service message)",
    ),
    "often": ("什么时候", "When"),
    "often.once": ("一次", "once"),
    "often.weekly": ("每周", "every week"),
    "often.cron": ("按重复时间（cron）", "by a cron line"),
    "at": ("日期和时间", "Day and time"),
    "at_hint": ("活动时区 {zone}", "by the clocks of {zone}"),
    "weekday": ("每周几", "Weekday"),
    "hour": ("几点", "Time"),
    "cron": ("重复时间", "Cron line"),
    "cron_hint": ("分 时 日 月 星期，例如 30 19 * * fri", "minute hour day month weekday, such as 30 19 * * fri"),
    "latest": ("最多晚多少分钟", "May begin so many minutes late"),
    "latest_hint": ("再晚就算错过，不补发", "later it is missed, and not sent afterwards"),
    "care": ("稳妥地发", "Going carefully"),
    "first": ("先发给百分之几", "Per cent who get it first"),
    "first_hint": ("100 就是一次发完", "100 sends to all at once"),
    "rest": ("其余的人等几分钟", "Minutes until the others"),
    "errors": ("失败超过百分之几就暂停", "Pause beyond so many per cent of errors"),
    "preview": ("预览", "Preview"),
    "look": ("预览和数人数", "Preview and count"),
    "save": ("存为草稿", "Save as a draft"),
    "submit": ("提交复核", "Submit for approval"),
    "preview_none": ("按“预览和数人数”看各渠道的样子和会收到的人数。", "Press “Preview and count” to see it."),
    "lacks": ("还差：", "Still to do:"),
    "bytes": ("{count} 字节", "{count} bytes"),
    "article": ("群发时是一篇图文，标题和封面如下", "sent as an article with this title and cover"),
    "two": ("图片和文字分两条发", "picture and words go as two messages"),
    "rests": (
        "{at} 在方案的免打扰时段里：等到 {until} 才开始发。",
        "{at} is in the plan's quiet hours: nobody gets it before {until}.",
    ),
    "would_reach": ("现在发会到 {reached} 人，共找到 {total} 人", "Now it would reach {reached} of {total} people"),
    "count_hint": (
        "按现在数；到发送时窗口、上限和退订可能已变。",
        "Counted now; windows, caps and consent may differ when it goes out.",
    ),
    "how": ("怎么收到", "How they get it"),
    "people": ("人数", "People"),
    "costs": ("平台消息", "Platform messages"),
    "requests": ("{count} 次请求", "{count} requests"),
    "messages": ("{count} 条", "{count} messages"),
    "free": ("不占用", "none"),
    "why_not": ("收不到的原因", "Who does not, and why"),
    "account": ("渠道", "Channel"),
    "finds_nobody": ("规则没有找到任何人。", "The rule finds nobody."),
    "saved": ("已存为草稿。", "Saved as a draft."),
    "submitted": ("已提交，等同事复核。", "Submitted: a colleague approves it."),
    "meanwhile": (
        "您打开这页以后，这条推送被改过；请重新打开再改",
        "The push was changed since you opened this page; open it again",
    ),
    "fixed": ("推送现在是“{state}”，不能再改；可以照着写一条新的", "The push is {state} and can no longer be changed"),
}
NEW = f"{PUSHES}/new"
EDIT = f"{PUSHES}/{{number:int}}/edit"
_BODY = 256 * 1024


@page(NEW, "pushes.write")
async def new(visit: Visit) -> Response:
    """An empty form, or a copy of the push named by `from`."""
    everybody(visit)
    plan = visit.app.writer.library.plan
    fields = forms.blank(plan, visit.now)
    copied = visit.query("from", 19)
    if copied.isascii() and copied.isdigit() and int(copied) < 2**63:
        push = await visit.read(pushes.find, int(copied))
        if push and push.campaign == plan.id:
            fields = forms.of_push(push, plan, visit.now) | {"key": fields["key"], "at": fields["at"], "seen": ""}
    return await _show(visit, fields)


@post(NEW, "pushes.write", body=_BODY)
async def create(visit: Visit) -> Response:
    """Preview, save or submit a new push."""
    everybody(visit)
    library: Library = visit.app.writer.library
    fields = forms.of_form(visit.form, library.plan.languages)
    do = visit.form.text("do", 20, needed=False)
    if do not in ("save", "submit"):
        return await _show(visit, fields, looked=True)
    try:
        written, key = forms.read(fields, library.plan.languages), forms.key_of(fields, visit.me.id)

        def work(desk: Any) -> Push:
            push = pushing.create(desk, library, key, **written.told())
            return pushing.submit(desk, library, push.number) if do == "submit" and push.state == "draft" else push

        push = await visit.act(work)
    except (Wrong, ActRefused) as refused:
        return await _show(visit, fields, refused=refused)
    return visit.go(f"{PUSHES}/{push.number}", said=WORDS["submitted" if do == "submit" else "saved"])


@page(EDIT, "pushes.write")
async def edit(visit: Visit) -> Response:
    """The form of a push that can still be changed."""
    everybody(visit)
    push = await _push(visit)
    return await _show(visit, forms.of_push(push, visit.app.writer.library.plan, visit.now), push, looked=True)


@post(EDIT, "pushes.write", body=_BODY)
async def change(visit: Visit) -> Response:
    """Preview, save or submit a change."""
    everybody(visit)
    library: Library = visit.app.writer.library
    fields = forms.of_form(visit.form, library.plan.languages)
    do = visit.form.text("do", 20, needed=False)
    before = await _push(visit, changeable=do not in ("save", "submit"))
    if do not in ("save", "submit"):
        return await _show(visit, fields, before, looked=True)
    try:
        written = forms.read(fields, library.plan.languages)

        def work(desk: Any) -> Push:
            stood = pushes.find(desk.connection, before.number, lock=True)
            push = pushing.change(desk, library, before.number, **written.told())
            if stood and forms.seen(stood) != fields["seen"] and push.said != stood.said:
                raise ActRefused(*WORDS["meanwhile"])
            return pushing.submit(desk, library, push.number) if do == "submit" and push.state == "draft" else push

        await visit.act(work)
    except (Wrong, ActRefused) as refused:
        return await _show(visit, fields, before, refused=refused)
    return visit.go(f"{PUSHES}/{before.number}", said=WORDS["submitted" if do == "submit" else "saved"])


async def preview_of(visit: Visit, push: Push, library: Library, *, fresh: bool = False) -> dict[str, Any]:
    """What the preview shows of a push: what it lacks, its messages, and whom it would reach."""
    channels = {channel.name for channel in visit.app.channels}

    def draw() -> tuple[list[saying.Fault], dict[str, Any]]:
        return list(saying.faults(push.content, library)), bubbles(push.content, library, channels)

    faults, shown = await asyncio.to_thread(draw)
    told = None
    try:
        push_audience.check(library.plan, push.audience)
        now = replace(push, revision=library.revision)
        rows = await visit.app.pushes.people(now, visit.read, fresh=fresh)
        told = audience(rows, push.content, len(library.plan.languages))
    except ActRefused as refused:
        faults.append((refused.zh, refused.en))
    return {
        **{"faults": faults, "bubbles": shown, "audience": told, "channels": saying.channels(push.content)},
        "rests": [wall(one, library.plan.zone) for one in push_clock.held_over(push, library, visit.now) or ()],
    }


def everybody(visit: Visit) -> None:
    """Staff of a branch only look, which is said before anything else. Raises NotAllowed."""
    if visit.me.branch is not None:
        raise NotAllowed(*pushing.only_look(visit.me.branch))


async def _push(visit: Visit, *, changeable: bool = True) -> Push:
    push = await visit.read(pushes.find, visit.number("number"))
    if push is None or push.campaign != visit.app.writer.library.plan.id:
        raise Missing
    if changeable and push.state not in pushing.STEPS["change"][0]:
        zh, en = WORDS["fixed"]
        raise ActRefused(zh.format(state=Say("zh")("state", push.state)), en.format(state=push.state))
    return push


async def _show(
    visit: Visit,
    fields: dict[str, str],
    push: Push | None = None,
    *,
    looked: bool = False,
    refused: Wrong | ActRefused | None = None,
) -> Response:
    library: Library = visit.app.writer.library
    plan, say = library.plan, Say(visit.language)
    seen: dict[str, Any] = {"faults": [], "bubbles": {}, "audience": None, "channels": []}
    if looked:
        seen = await preview_of(visit, _sketch(fields, library, f"staff:{visit.me.id}"), library)
        try:
            forms.read(fields, plan.languages)
        except Wrong as wrong:
            seen["faults"].insert(0, (wrong.zh, wrong.en))
    language = visit.language if visit.language in plan.languages else plan.languages[0]
    return visit.show(
        "push_form.html",
        {**FORM, **WORDS},
        200 if refused is None else 400 if isinstance(refused, Wrong) else 409,
        **seen,
        **{"fields": fields, "push": push, "looked": looked, "refused": refused, "say": say, "plan": plan},
        action=f"{PUSHES}/{push.number}/edit" if push else NEW,
        kinds=[(name, say("kind", name)) for name in KIND],
        weekdays=[(name, say("weekday", name)) for name in WEEKDAYS],
        posters=[(name, picture_url(name, language, library.revision)) for name in posters.names(library.files)],
        buttons=forms.buttons(plan.languages),
        words=_suggested(library),
        audiences=suggestions(plan, say),
        most=(saying.TEXT_MOST, saying.BYTES_MOST),
        article={"title": articles.TITLE_MOST, "digest": articles.DIGEST_MOST, "author": articles.AUTHOR_MOST}
        | {"body": articles.HTML_MOST},
        limits={"latest": forms.LATEST_MAX, "rest": forms.REST_MAX, "button": forms.BUTTON_MAX},
    )


def _sketch(fields: dict[str, str], library: Library, author: str) -> Push:
    """A push that is not stored, as far as the form says one."""
    content = forms.content_of(fields, library.plan.languages)
    limits = {"first": 10_000, "rest": 30, "errors": 20}
    given = fields["audience"][: forms.AUDIENCE_MAX]
    try:
        schedule = forms.schedule_of(fields)
    except Wrong:  # which the form's own reading names
        schedule = {}
    return Push("", library.plan.id, fields["name"], content, given, schedule, limits, library.revision, author)


def _suggested(library: Library) -> list[str]:
    """Words for buttons: of each command the first in each script, and the plan's own and its surveys'."""
    found: dict[str, None] = {}
    for module in mechanics().values():
        for typed in module.WORDS.values():
            for latin in (False, True):
                first = next((word for word in typed if word.isascii() == latin), None)
                if first:
                    found[first] = None
    named = (name for survey in library.surveys.values() for _, name in survey.name.items())
    return [*found, *library.plan.keywords, *named]
