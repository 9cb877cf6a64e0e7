"""What the pages of surveys say. It answers no request."""

from __future__ import annotations

from bot.console.words import Pairs

WORDS: Pairs = {
    "title": ("问卷", "Surveys"),
    "none": (
        "方案里没有问卷，也没有人答过。在方案的 [[social.surveys]] 里写上，再运行 koukou plan apply。",
        "The plan has no survey, and nobody took one. Write [[social.surveys]], then koukou plan apply.",
    ),
    "lead": (
        "每人一次，各渠道合在一起；测试用户不计在内。",
        "Once per person over all their channels; testers are left out.",
    ),
    "back": ("所有问卷", "All surveys"),
    "gone": ("已不在方案里", "no longer in the plan"),
    "survey": ("问卷", "Survey"),
    "began": ("开始", "Began"),
    "finished": ("答完", "Finished"),
    "guests": ("其中网页访客", "Of them web guests"),
    "guests_hint": (
        "网页访客没有绑定账号，同一个人换个浏览器可以再答一次；人数多时请谨慎看待。",
        "Web guests have no account: somebody can answer again in another browser, so read the figures with care.",
    ),
    "by": ("按人群看", "By segment"),
    "segment": ("客群", "Segment"),
    "everybody": ("所有人", "Everybody"),
    "rule": ("或自己写条件", "Or a rule of your own"),
    "rule_hint": ("例如：渠道 是 微信 且 积分 > 100", "e.g. channel is wechat and points > 100"),
    "show": ("查看", "Show"),
    "clear": ("看所有人", "Everybody"),
    "few": (
        "“{group}”里答过的不到 {smallest} 人，不显示：人太少，看得出是谁答的。请换大一点的人群。",
        "Fewer than {smallest} people of “{group}” answered, so nothing is shown: one could tell who said what. "
        "Take a larger group.",
    ),
    "rest": (
        "“{group}”以外答过的只有不到 {smallest} 人，不显示：和所有人一减，就看得出那几位是怎么答的。请换一个人群。",
        "Fewer than {smallest} people outside “{group}” answered, so nothing is shown: the difference from everybody "
        "would tell what those few said. Take another group.",
    ),
    "kept_back": (
        "这一题在“{group}”里或以外不到 {smallest} 人回答，不显示。",
        "Fewer than {smallest} people in or outside “{group}” answered this one, so it is not shown.",
    ),
    "kept_back_short": ("人数太少，不显示", "too few to show"),
    "group": ("人群：{group}", "Group: {group}"),
    "question": ("题目", "Question"),
    "answer": ("回答", "Answer"),
    "people": ("人数", "People"),
    "share": ("占比", "Share"),
    "in_group": ("人群人数", "In the group"),
    "group_share": ("人群占比", "Share of the group"),
    "mean": ("平均分", "Mean rating"),
    "answers": ("{count} 人回答", "{count} answered"),
    "wrote": ("写了文字", "Wrote something"),
    "skipped": ("跳过", "Skipped"),
    "earlier": ("以前的题 {id}", "an earlier question, {id}"),
    "nobody": ("还没有人回答。", "Nobody has answered yet."),
    "sheet": ("下载表格（CSV）", "Download as a sheet (CSV)"),
    "own_words": ("文字回答", "Answers in own words"),
    "masked": (
        "文字默认遮住。选好用途才显示，查看会记进操作记录；不显示是谁写的，最多列最新的 {most} 条。",
        "The words are masked until you give a purpose, which the audit log records. Who wrote them is not shown; the "
        "newest {most} are listed.",
    ),
    "purpose": ("用途", "Purpose"),
    "choose": ("请选择", "Choose"),
    "reveal": ("显示文字", "Show the words"),
    "as_sheet": ("下载，不在页面上显示", "Download them instead"),
    "when": ("时间", "When"),
    "gone_words": ("（已过保存期或应本人要求删除）", "(no longer kept, or deleted at their request)"),
    "listed": ("共 {count} 条", "{count} in all"),
    "no_words": ("没有文字回答。", "Nobody wrote anything."),
}
