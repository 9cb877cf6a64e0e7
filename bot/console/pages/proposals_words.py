"""What the pages of proposed changes say, and the words for what is stored as a code. It answers no request."""

from __future__ import annotations

from bot.console.words import Pairs

WORDS: Pairs = {
    "title": ("变动", "Changes"),
    "lead": (
        "补偿、更正、期初余额和冲正：一个人提出，另一个人复核，然后才记入账本。",
        "Goodwill, corrections, opening balances and reversals: one person proposes, another approves, "
        "and only then the ledger moves.",
    ),
    "new": ("提出变动", "Propose a change"),
    "open": ("等待复核", "Waiting for approval"),
    "open_none": ("没有等待复核的变动。", "Nothing waits for approval."),
    "open_none_propose": (
        "要给用户补偿、更正余额，点“提出变动”；也可以从用户的页面进入。",
        "To make good or correct something, press “Propose a change”, or start from a subscriber's page.",
    ),
    "open_none_approve": (
        "同事提出新的变动后会出现在这里，首页也会提示。",
        "What colleagues propose will appear here, and the home page will say so.",
    ),
    "decided": ("已有结果", "Decided"),
    "decided_none": (
        "还没有。复核、退回或撤回的变动会列在这里。",
        "None yet. What is approved, declined or withdrawn will be listed here.",
    ),
    "older": ("更早的", "Older"),
    "newest": ("回到最新", "Newest"),
    "what": ("变动", "Change"),
    "people": ("人数", "People"),
    "people_one": ("1 人", "1 person"),
    "people_many": ("{count} 人", "{count} people"),
    "lines_one": ("1 行", "1 line"),
    "lines_many": ("{count} 行", "{count} lines"),
    "count": ("多少", "How many"),
    "pieces": ("{count} 件", "{count} pcs"),
    "total": ("合计", "Total"),
    "reason": ("原因", "Reason"),
    "by": ("提出人", "Proposed by"),
    "age": ("等了多久", "Waiting for"),
    "state": ("结果", "Outcome"),
    "decided_by": ("由谁", "By"),
    "decided_at": ("时间", "When"),
    "named": ("{kind}：{unit}", "{kind}: {unit}"),
    "moments": ("不到 1 分钟", "less than a minute"),
    "minutes": ("{count} 分钟", "{count} min"),
    "hours": ("{count} 小时", "{count} h"),
    "days": ("{count} 天", "{count} d"),
    "operator": ("命令行（运维）", "the command line (operator)"),
    "back": ("变动", "Changes"),
    # ---- one proposal
    "proposed": ("{who} 于 {when} 提出", "proposed by {who}, {when}"),
    "ended.approved": ("{who} 于 {when} 复核通过，已记入账本", "approved by {who}, {when}, and entered in the ledger"),
    "ended.declined": ("{who} 于 {when} 退回，没有任何变动", "declined by {who}, {when}; nothing was moved"),
    "ended.withdrawn": ("{who} 于 {when} 撤回，没有任何变动", "withdrawn by {who}, {when}; nothing was moved"),
    "nothing_yet": ("还没有记入账本；复核通过后才会变动。", "Nothing has moved yet; it does when approved."),
    "about": ("要做什么", "What it would do"),
    "did": ("做了什么", "What it did"),
    "kind": ("类别", "Kind"),
    "unit": ("单位", "Unit"),
    "lines": ("名单", "Lines"),
    "cost": ("成本", "Cost"),
    "no_cost": ("不占用预算", "no budget is used"),
    "no_worth": (
        "方案还没有定一分值多少钱，现在不能通过",
        "the plan does not say what a point is worth; it cannot be approved now",
    ),
    "line_of": ("预算科目", "Budget line"),
    "left": ("该科目还可用", "Left of that line"),
    "yuan": ("{yuan} 元", "{yuan} yuan"),
    "sheet_number": ("编号", "Number"),
    "number": ("第 {number} 号", "No. {number}"),
    "would_fail": (
        "有 {count} 处现在通不过，见名单里的“情况”。改好后再复核，或者退回。",
        "{count} things keep it from being approved now; see the notes below. Mend them, or decline it.",
    ),
    "lacking": ("预算不够，现在通不过。", "The budget line has too little: it cannot be approved now."),
    "partly": (
        "名单很长，“情况”一栏只看过这一页；通过时每一行都会查，有一处不行就一笔也不记。",
        "The list is long: only the lines of this page were looked at. Approval looks at every one, "
        "and if any will not do, nothing is entered.",
    ),
    "would_fail_one": (
        "有 1 处现在通不过：",
        "One thing keeps it from being approved now:",
    ),
    "who": ("用户", "Subscriber"),
    "item": ("物品", "Item"),
    "person": ("用户 {number}", "Subscriber {number}"),
    "amount": ("变动", "Change"),
    "now": ("现在", "Now"),
    "after": ("之后", "Afterwards"),
    "standing": ("情况", "Note"),
    "fine": ("可以", "fine"),
    "more_lines": ("后面的", "Further lines"),
    "first_lines": ("从第一行看起", "From the first line"),
    "download": ("下载名单（CSV）", "Download the lines (CSV)"),
    "approve": ("通过并记入账本", "Approve and enter"),
    "approve_title": ("复核", "Approve"),
    "approve_hint": (
        "通过后立即记入账本，不能修改，只能再提一笔冲正。",
        "It is entered at once and cannot be edited afterwards, only reversed by another proposal.",
    ),
    "confirm": ("输入人数 {count} 确认", "Type the number of people, {count}, to confirm"),
    "confirm_line": ("输入行数 {count} 确认", "Type the number of lines, {count}, to confirm"),
    "typed": ("人数", "the number of people"),
    "decline": ("退回", "Decline"),
    "decline_title": ("退回", "Decline"),
    "decline_why": ("为什么退回", "Why it is declined"),
    "decline_hint": ("提出人会在这一页看到。", "The proposer sees it on this page."),
    "withdraw": ("撤回", "Withdraw"),
    "withdraw_title": ("撤回这项变动", "Withdraw this change"),
    "withdraw_hint": (
        "写错了就撤回，再提一次。名单和原因会留下记录。",
        "If something is wrong, withdraw it and propose anew. The lines and the reason stay on record.",
    ),
    "not_yours": (
        "这是您提出的，要由另一个人复核。",
        "You proposed this yourself; somebody else has to approve it.",
    ),
    "may_approve": ("可以复核的人：{names}", "Who may approve it: {names}"),
    "and_more": ("等 {count} 人", "and others, {count} in all"),
    "nobody_may": (
        "现在没有别人能复核。请管理员给一位同事“方案策划”角色；只有一个人的团队可在 config.toml 里设 "
        "[console] second_person = false。",
        "Nobody else may approve it now. Ask an administrator to give a colleague the role Planning; a team of one may "
        "set [console] second_person = false in config.toml.",
    ),
    "no_right": ("您没有复核的权限。", "You have no right to approve."),
    "approved": ("已通过，已记入账本。", "Approved and entered in the ledger."),
    "declined": ("已退回。", "Declined."),
    "withdrawn": ("已撤回。", "Withdrawn."),
    "proposed_said": ("已提出，等待复核。", "Proposed; it waits for approval."),
    # ---- the form
    "new_title": ("提出变动", "Propose a change"),
    "ways": ("怎么提", "For whom"),
    "way.one": ("一位用户", "One person"),
    "way.sheet": ("名单（CSV）", "A list (CSV)"),
    "way.stock": ("库存", "Stock"),
    "sheet_lead": (
        "一个 CSV 文件，每行一位用户和一个数量。UTF-8 和 GB18030（中文 Excel 默认）都可以。"
        "任何一行有误，整份都不会提出。",
        "One CSV file with a person and an amount on each line, in UTF-8 or GB18030 (Chinese Excel's own). "
        "If any line is wrong, none of it is proposed.",
    ),
    "sample": ("下载样例", "Download a sample"),
    "file": ("CSV 文件", "CSV file"),
    "file_hint": ("最多 {most} MiB。", "At most {most} MiB."),
    "rows": ("名单内容", "Its lines"),
    "rows_hint": (
        "可以在这里直接改好再提交；重新选文件则以文件为准。",
        "Mend them here and send again; a file chosen above wins.",
    ),
    "no_file": ("请选择 CSV 文件", "choose a CSV file"),
    "has": ("现有：", "They have:"),
    "has_none": ("还没有余额", "nothing yet"),
    "one_who": ("用户", "Subscriber"),
    "one_who_hint": (
        "编号、推荐码，或渠道里的账号（wechat:oABC…）。",
        "Their number, referral code, or account on a channel (wechat:oABC…).",
    ),
    "kind_hint": (
        "补偿和期初余额只能加；更正可加可减，减写成负数。",
        "Goodwill and opening balances only add; a correction adds, or takes off as a negative number.",
    ),
    "held": ("（其中 {amount} 被占用）", "({amount} of it held)"),
    "how_much": ("数量", "Amount"),
    "amount_hint": ("整数；扣减写成 -50。", "A whole number; to take off write -50."),
    "item_hint": ("方案里有库存的物品。", "What the plan keeps in stock."),
    "stock_hint": (
        "进货或盘盈写正数，报损或盘亏写负数。",
        "Positive for what came in or was found, negative for what is lost or missing.",
    ),
    "no_stock": (
        "方案里没有要管库存的物品。",
        "The plan keeps nothing in stock.",
    ),
    "why": ("原因", "Reason"),
    "why_hint": (
        "复核人要看的：发生了什么、凭什么。不要写手机号等个人信息。",
        "For whoever approves: what happened, and on what grounds. No phone numbers or other personal details.",
    ),
    "asked_before": (
        "内容相同的变动已经有了：第 {number} 号（{state}）。确实要再来一次，请勾选后再提交。",
        "The same contents were proposed before: no. {number} ({state}). "
        "If it is meant again, tick the box and send it.",
    ),
    "again": ("这是另外一次，不是重复", "This is another one, not the same again"),
    "send": ("提交复核", "Send for approval"),
    "faults": ("有 {count} 处要改，还没有提出", "{count} things to mend; nothing was proposed"),
    "fault_one": ("有 1 处要改，还没有提出", "One thing to mend; nothing was proposed"),
    "faults_more": ("另有 {count} 处，改好上面的再看", "{count} more; mend these first"),
    "at_line": ("第 {line} 行", "Line {line}"),
    # ---- the reversal of one movement
    "reverse": ("冲正", "Reverse"),
    "reverse_title": ("冲正一笔变动", "Reverse a movement"),
    "reverse_lead": (
        "复核通过后记一笔方向相反、数量相同的变动；原来那一笔保留。",
        "When approved, the opposite of the same amount is entered; the movement itself stays on record.",
    ),
    "was_for": ("原来的原因", "It was for"),
    "movement": ("要冲正的变动", "The movement"),
}

KINDS_OF: dict[str, Pairs] = {
    "kind": {
        "goodwill": ("补偿", "Goodwill"),
        "correction": ("更正", "Correction"),
        "opening": ("期初余额", "Opening balance"),
        "reversal": ("冲正", "Reversal"),
    },
    "state": {
        "open": ("等待复核", "open"),
        "approved": ("已通过", "approved"),
        "declined": ("已退回", "declined"),
        "withdrawn": ("已撤回", "withdrawn"),
    },
    "unit": {
        "points": ("积分", "points"),
        "chances": ("抽奖机会", "draw chances"),
    },
}
