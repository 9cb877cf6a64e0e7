"""How a push goes, and what came of it: rows by state and reason, time left, mass sends, who reacted, what is in doubt.

Read in one snapshot; says what is stored and counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.console.pages.push_words import Say
from bot.console.visit import Visit
from bot.pausing import told
from campaigns import push_clock
from storage import channel_posts, mass_jobs, pauses, push_results, push_runs
from storage.pauses import Pause
from storage.push_results import Doubt, Waiting
from storage.push_runs import Run
from storage.pushes import Push

WORDS = {
    "going": ("发送情况", "How it goes"),
    "result": ("结果", "Results"),
    "as_of": ("{when} 的情况", "As of {when}"),
    "live": ("每 5 秒更新", "updated every 5 seconds"),
    "moved_on": ("状态已变成“{state}”，", "It is {state} now: "),
    "reload": ("刷新整页", "reload the page"),
    "state": ("状态", "State"),
    "no_run": ("还没有发送过。", "It has not gone out yet."),
    "run_missed": ("这一次错过了时间，没有发。", "This time was missed; nothing was sent."),
    "reached": ("已收到", "Reached"),
    "expected": ("应收到", "Expected"),
    "resting": ("免打扰时段：{until} 继续发。", "Quiet hours: it goes on at {until}."),
    "still_listing": ("名单还在准备，人数还会增加。", "People are still being listed; the numbers grow."),
    "rows": ("每个人的结果", "What became of everybody"),
    "count": ("人数", "People"),
    "why": ("原因", "Reason"),
    "sum": ("合计", "Sum"),
    "pace": ("速度和剩余时间", "Pace and time left"),
    "account": ("渠道", "Channel"),
    "waits": ("等待", "Waiting"),
    "rate": ("上限", "At most"),
    "per_second": ("每秒 {count} 条", "{count} a second"),
    "left": ("大约还要", "Time left, about"),
    "seconds": ("{count} 秒", "{count} s"),
    "minutes_left": ("{count} 分钟", "{count} min"),
    "hours_left": ("{count} 小时", "{count} h"),
    "later": ("{count} 人 {when} 起", "{count} from {when}"),
    "fetched": ("用户自己来取", "people fetch"),
    "average": ("开始以来平均每秒 {count} 条", "{count} a second on average since it began"),
    "posts": ("Telegram 频道", "Telegram channels"),
    "posts_hint": (
        "每个频道发一次，不算在人数里；结果不明的不会再发。",
        "One post to each, counted as nobody; what is in doubt is not posted again.",
    ),
    "channel": ("频道", "Channel"),
    "jobs": ("微信群发", "WeChat mass sends"),
    "jobs_hint": (
        "四个数由微信在群发结束后给出：总数、被过滤、发到、失败。",
        "The four counts come from WeChat once it is done: total, filtered, sent, errors.",
    ),
    "job": ("第 {number} 批", "Lot {number}"),
    "total": ("总数", "Total"),
    "filtered": ("被过滤", "Filtered"),
    "sent": ("发到", "Sent"),
    "job_errors": ("失败", "Errors"),
    "reacted": ("72 小时内的反应", "What they did within 72 hours"),
    "wrote": ("来信或点了按钮", "wrote or tapped a button"),
    "joined": ("经他们加入的好友", "friends who joined through them"),
    "quizzed": ("开始答题", "began the quiz"),
    "surveyed": ("开始答问卷", "began the survey"),
    "survey_done": ("答完问卷", "finished the survey"),
    "share": ("{count} 人（{share}%）", "{count} ({share} %)"),
    "reacted_open": ("还在 72 小时之内，数字会变。", "The 72 hours are not over; the numbers change."),
    "doubts": ("结果不明的", "In doubt"),
    "doubts_hint": (
        "平台没有答复：可能收到了，也可能没有。不会再发，免得收到两次。最多列 {count} 位。",
        "The platform did not answer: they may have it or not. It is not sent again, so that nobody gets two. "
        "The first {count} are listed.",
    ),
    "person": ("用户 {number}", "Subscriber {number}"),
    "at": ("时间", "When"),
}
_DOUBTS = 100
_REACH = ("sent", "handed_over")


@dataclass(frozen=True)
class Progress:
    """One run as it stands."""

    run: Run
    counts: Mapping[str, Mapping[str, int]]
    jobs: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[tuple[Waiting, str]] = field(default_factory=list)  # and the time left, for the account's rate
    doubts: list[Doubt] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)  # of the accounts that have something left to send
    wrote: int | None = None
    joined: int | None = None
    quizzed: int | None = None
    surveyed: tuple[int, int] | None = None  # began, finished
    still: bool = False  # the 72 hours are not over

    @property
    def people(self) -> int:
        """How many have a row."""
        return sum(sum(reasons.values()) for reasons in self.counts.values())

    @property
    def expected(self) -> int:
        """How many it was meant to reach: all whom no rule kept from it."""
        return self.people - sum(self.counts.get("refused", {}).values())

    @property
    def reached(self) -> int:
        """Sent by us, and by WeChat's mass sends as far as they were counted."""
        return sum(self.counts.get("sent", {}).values()) + sum(job["sent"] for job in self.jobs)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.run.ended_at is not None

    @property
    def live(self) -> bool:
        """Whether the numbers can still change."""
        return not self.over or any(job["state"] == "accepted" for job in self.jobs)


async def progress(visit: Visit, push: Push, asked: int) -> dict[str, Any]:
    """The run asked for, or the latest, as `going`; `rates` are messages a second by account, None where people fetch;
    `living` says that it may change."""
    rates = {
        f"{channel.name}:{channel.account}": None if channel.pulls() else float(channel.per_second)
        for channel in visit.app.channels
    }
    going = await visit.read(_read, push, asked, rates, visit.now, visit.me.branch, visit.language == "zh")
    living = push.state in ("approved", "scheduled", "running", "paused") or bool(going and going.live)
    average = ""
    if going and going.run.began_at and going.over is False:
        seconds = (visit.now - going.run.began_at).total_seconds()
        done = sum(sum(going.counts.get(state, {}).values()) for state in (*_REACH, "failed", "doubtful"))
        average = f"{done / seconds:.1f}" if seconds >= 1 and done else ""
    zone = visit.app.writer.library.plan.zone
    waits = [visit.tell(*told(one, visit.now, zone, _names(one.account))) for one in (going.pauses if going else ())]
    until = push_clock.quiet_until(visit.app.writer.library, visit.now) if push.state == "running" else None
    return {
        **{"going": going, "rates": rates, "pauses": waits, "living": living, "average": average, "zone": zone},
        **{"resting_until": until, "was": visit.query("was", 20), "doubts_most": _DOUBTS},
    }


def _names(account: str) -> tuple[str, str]:
    return Say("zh").account(account), Say("en").account(account)


def _read(
    connection: Any,
    push: Push,
    asked: int,
    rates: Mapping[str, float | None],
    now: datetime,
    branch: str | None,
    zh: bool,
) -> Progress | None:
    run = push_runs.find(connection, asked) if asked else None
    if run is None or run.push != push.number:
        latest = push_runs.of_push(connection, push.number, 1)
        run = latest[0] if latest else None
    if run is None or run.state == "missed":
        return Progress(run, {}) if run else None
    over = run.ended_at is not None
    counts = run.counts if over else push_runs.counts(connection, run.id)
    posts = channel_posts.of_run(connection, run.id)
    waits = [] if over else push_results.waiting(connection, run.id, now)
    stands = Progress(
        run,
        counts,
        mass_jobs.of_run(connection, run.id),
        [(one, _time_left(one, rates.get(one.account), zh)) for one in waits],
        push_results.doubtful(connection, run.id, _DOUBTS, branch) if counts.get("doubtful") else [],
        posts,
        [] if over else pauses.of_run(connection, run.id),
    )
    if not over:
        return stands
    within = now - (run.ended_at or now) < push_results.WITHIN
    quizzed = push_results.began_quiz(connection, run, now) if push.content.get("kind") == "quiz" else None
    surveyed = push_results.took_survey(connection, run, now) if push.content.get("kind") == "survey" else None
    wrote, joined = push_results.wrote(connection, run, now), push_results.joined(connection, run, now)
    return Progress(run, counts, stands.jobs, [], stands.doubts, posts, [], wrote, joined, quizzed, surveyed, within)


def _time_left(one: Waiting, rate: float | None, zh: bool) -> str:
    if not rate or not one.due:
        return ""
    left = timedelta(seconds=one.due / rate)
    for unit, name in ((timedelta(hours=1), "hours_left"), (timedelta(minutes=1), "minutes_left")):
        if left >= unit:
            return WORDS[name][0 if zh else 1].format(count=f"{left / unit:.1f}".removesuffix(".0"))
    return WORDS["seconds"][0 if zh else 1].format(count=max(1, round(left.total_seconds())))
