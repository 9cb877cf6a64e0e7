"""How pages speak: tables of (Chinese, English) pairs, and what the shell around every page says.

A page brings its own table; nothing a member reads stands in a template.
"""

from __future__ import annotations

from collections.abc import Mapping

Pairs = Mapping[str, tuple[str, str]]

SHELL: Pairs = {
    "console": ("口口相传 管理台", "Koukou console"),
    "skip": ("跳到正文", "Skip to content"),
    "sections": ("管理台栏目", "Console sections"),
    "menu": ("栏目", "Menu"),
    "mine": ("我的账号", "My account"),
    "log_out": ("退出登录", "Log out"),
    "log_in": ("登录", "Log in"),
    "other_language": ("English", "中文"),
    "home": ("首页", "Home"),
    "back": ("返回", "Go back"),
    "branch": ("网点 {branch}", "Branch {branch}"),
    "none": ("没有", "None"),
    "yes": ("是", "yes"),
    "no": ("否", "no"),
    "refused": ("没有办成", "Not done"),
    "done": ("已完成", "Done"),
    # What went wrong: a headline, and what next.
    "e400": ("提交的内容不对", "Something you sent is not right"),
    "e403": ("您不能做这件事", "You may not do that"),
    "e404": ("没有这一页", "There is no such page"),
    "e404_next": (
        "网址可能写错了，或者内容已经不在。请从首页重新进入。",
        "The address may be mistyped, or it is gone. Start from the home page.",
    ),
    "e405": ("这个网址不能这样打开", "This address cannot be opened that way"),
    "e405_next": ("请从首页重新进入。", "Start from the home page."),
    "e409": ("没有办成", "Not done"),
    "e413": ("提交的内容太大", "What you sent is too large"),
    "e413_next": ("最多 {most} KB，请缩短或分几次提交。", "At most {most} KB: shorten it, or send it in parts."),
    "e429": ("尝试太频繁", "Too many tries"),
    "e500": ("出了点问题", "Something went wrong"),
    "e500_next": (
        "没有改动任何内容。请稍后再试；反复出现请告诉管理员。",
        "Nothing was changed. Try again later; if it happens again, tell an administrator.",
    ),
    "e503": ("服务正忙", "The service is busy"),
    "e503_next": ("没有改动任何内容，请过几秒再试。", "Nothing was changed; try again in a few seconds."),
    "stale": ("页面已过期", "The page is out of date"),
    "stale_next": (
        "没有改动任何内容。请返回、刷新页面后重新提交。",
        "Nothing was changed. Go back, reload the page and send it again.",
    ),
    "foreign": (
        "请求来自别的网站，已拒绝。请从管理台里操作。",
        "The request came from another site and was refused. Work from within the console.",
    ),
    "opening": ("正在打开…", "Opening…"),
    "open": ("打开", "Open"),
    "needed": ("“{field}”没有填", "“{field}” is missing"),
    "too_long": ("“{field}”太长，最多 {most} 个字", "“{field}” is too long: at most {most} characters"),
    "no_number": ("“{field}”要填整数", "“{field}” must be a whole number"),
}


class Words:
    """A table of pairs in one language: `w.key`, `w["key"]`, `w("key", name=value)`. KeyError for no such key."""

    def __init__(self, pairs: Pairs, language: str) -> None:
        self._pairs, self._place = pairs, 0 if language == "zh" else 1

    def __getitem__(self, key: str) -> str:
        return self._pairs[key][self._place]

    def __call__(self, key: str, **values: object) -> str:
        return self[key].format(**values)

    def __contains__(self, key: str) -> bool:
        return key in self._pairs
