"""What staff ask for, line by line: units, amounts, and whom the words mean, with every fault by its line.

It reads and never writes; whether what is asked for can be done is judged in `campaigns/moves.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from campaigns.desk import ActRefused, Desk
from content.plan import Plan
from storage import ledger, proposals, whom
from storage.proposals import Movement, Row
from storage.vault import Vault
from storage.whom import Person

# kind: what it is called, in Chinese and English. A posting's `reason` is its kind.
KINDS: dict[str, tuple[str, str]] = {
    "goodwill": ("补偿", "goodwill"),
    "correction": ("更正", "correction"),
    "opening": ("期初余额", "opening balance"),
    "reversal": ("冲正", "reversal"),
}
AMOUNT_MAX = 1_000_000_000
_SHOWN = 3
_WORD_MAX = 40
_OF_PEOPLE: dict[str, tuple[str, str]] = {"points": ("积分", "points"), "chances": ("抽奖机会", "chances")}
_PEOPLE = ("s", "held")


@dataclass(frozen=True, slots=True)
class Asked:
    """One line of what is asked for. `who`: a number, a referral code or CHANNEL:ID; of a reversal the posting's number
    or key (and `amount` 0); of a stock empty. `line` is its place, counted from 1."""

    line: int
    who: str
    amount: int


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a line, in both languages; line 0 is the whole."""

    line: int
    zh: str
    en: str


class Unfit(ActRefused):
    """Lines that cannot be done; `faults` are all of them, the sentence names the first. Nothing was changed."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = sorted(faults, key=lambda fault: fault.line)
        more = len(self.faults) - _SHOWN
        zh = "；".join(f"第 {f.line} 行：{f.zh}" if f.line else f.zh for f in self.faults[:_SHOWN])
        en = "; ".join(f"line {f.line}: {f.en}" if f.line else f.en for f in self.faults[:_SHOWN])
        super().__init__(
            f"{zh}{f'；另有 {more} 处' if more > 0 else ''}。什么都没有改动",
            f"{en}{f'; and {more} more' if more > 0 else ''}. Nothing was changed",
        )


# ---- units


def units(plan: Plan) -> dict[str, tuple[str, str]]:
    """Every unit that can be proposed, with its name in both languages: points, chances, `stock:gifts.…` for each gift
    and `stock:prizes.…` for each prize of the plan."""
    listed = [("gifts", gift.id, gift.name) for gift in (plan.redemption.gifts if plan.redemption else ())]
    lottery = plan.social.lottery if plan.social else None
    listed += [("prizes", prize.id, prize.name) for prize in (lottery.prizes if lottery else ())]
    stocks = {}
    for table, item, name in listed:
        said = dict(name.items())
        zh, en = (said.get(language) or said[plan.languages[0]] for language in ("zh", "en"))
        words = (f"礼品库存 {zh}", f"stock of the gift {en}")
        if table == "prizes":
            words = (f"奖品库存 {zh}", f"stock of the prize {en}")
        stocks[ledger.stock_unit(f"{table}.{item}")] = words
    return _OF_PEOPLE | stocks


def unit_of(plan: Plan, kind: str, words: str) -> str:
    """The unit that is meant; `stock:band` will do where only a gift or only a prize is called so. Raises ActRefused
    for one that the plan does not have, or that this kind does not move."""
    known, words = units(plan), words.strip()
    if kind == "opening" and words not in _OF_PEOPLE:
        raise ActRefused("期初余额只有 points 和 chances", "an opening balance is of points or chances")
    if words in known:
        return words
    table, _, item = words.partition(":")
    near = [unit for unit in known if table == "stock" and unit.partition(".")[2] == item]
    if len(near) == 1:
        return near[0]
    there = near or list(known)
    raise ActRefused(
        f"{'有两种库存叫' if near else '没有这个单位：'}{_cut(words)}；可选 {'、'.join(there)}",
        f"{'two stocks are called' if near else 'no such unit:'} {_cut(words)}; there are {', '.join(there)}",
    )


def is_stock(unit: str) -> bool:
    """Whether the unit is a gift or a prize, which nobody owns."""
    return unit.startswith("stock:")


def account_of(plan: Plan, person: Person | None, unit: str) -> str:
    """Where the unit is kept: a guest's waits until they are known; without a person it is a stock's."""
    if person is None:
        return ledger.stock(plan.id, unit.partition(":")[2])
    return ledger.held(person.id, unit) if person.guest else ledger.person(person.id, unit)


# ---- what was asked for, as rows


def rows_of(
    desk: Desk, plan: Plan, vault: Vault, kind: str, unit: str, asked: Sequence[Asked]
) -> tuple[list[Row], list[Fault]]:
    """The lines with those whom they name, and the faults of others: people or movements that are unknown or named
    twice, amounts that this kind does not have."""
    if kind == "reversal":
        return _undone(desk, plan, asked)
    faults = [fault for one in asked if (fault := _amount_fault(kind, one))]
    if is_stock(unit):
        if len(asked) > 1 or asked[0].who.strip():
            faults.append(Fault(asked[0].line, "库存不属于任何人，一次一行，不写用户", "a stock is nobody's: one line"))
        found = [Row(one.line, None, account_of(plan, None, unit), one.amount) for one in asked]
    else:
        found = []
        for one, person in _people(desk, vault, asked):
            if isinstance(person, Fault):
                faults.append(person)
            else:
                found.append(Row(one.line, person.id, account_of(plan, person, unit), one.amount))
    return found, faults


def _amount_fault(kind: str, one: Asked) -> Fault | None:
    if type(one.amount) is not int or not -AMOUNT_MAX <= one.amount <= AMOUNT_MAX:
        return Fault(one.line, f"数量超出 ±{AMOUNT_MAX:,}", f"the amount is beyond ±{AMOUNT_MAX:,}")
    if one.amount == 0:
        return Fault(one.line, "数量不能是 0", "the amount is 0")
    if one.amount < 0 and kind != "correction":
        zh, en = KINDS[kind]
        return Fault(one.line, f"{zh}只能是正数，要减少请用更正", f"{en} only adds; to take away propose a correction")
    return None


def _people(desk: Desk, vault: Vault, asked: Sequence[Asked]) -> Iterator[tuple[Asked, Person | Fault]]:
    named = whom.named(desk.connection, vault, [one.who for one in asked])
    standing = whom.standing(desk.connection, set().union(*named.values()))
    seen: dict[int, int] = {}
    for one in asked:
        people = {person.id: person for number in named[one.who] if (person := standing.get(number))}
        who = _cut(one.who)
        if len(people) == 1:
            person = next(iter(people.values()))
            before = seen.setdefault(person.id, one.line)
            yield one, person if before == one.line else twice(one.line, before)
        elif people:
            numbers = sorted(people)
            yield (
                one,
                Fault(one.line, f"{who} 既是编号又是推荐码：{numbers}", f"{who} is a number and a code: {numbers}"),
            )
        else:
            yield one, Fault(one.line, f"没有用户 {who}", f"nobody is called {who}")


def twice(line: int, before: int) -> Fault:
    """Two lines name one person."""
    return Fault(line, f"和第 {before} 行是同一位用户", f"the same person as in line {before}")


def _undone(desk: Desk, plan: Plan, asked: Sequence[Asked]) -> tuple[list[Row], list[Fault]]:
    numbers = proposals.numbers_of(desk.connection, {one.who.strip() for one in asked})
    found = proposals.movements(desk.connection, set(numbers.values()))
    owners = {ledger.owner(end) for movement in found.values() for end in (movement.source, movement.destination)}
    standing = whom.standing(desk.connection, {owner for owner in owners if owner is not None})
    faults, rows, seen = [], [], dict[int, int]()
    for one in asked:
        movement = found.get(numbers.get(one.who.strip(), 0))
        who = _cut(one.who)
        if movement is None:
            faults.append(Fault(one.line, f"没有这笔变动：{who}", f"no such movement: {who}"))
        elif fault := not_to_undo(one.line, movement):
            faults.append(fault)
        elif seen.setdefault(movement.id, one.line) != one.line:
            zh, en = f"和第 {seen[movement.id]} 行是同一笔", f"the same movement as in line {seen[movement.id]}"
            faults.append(Fault(one.line, zh, en))
        else:
            gained = movement.destination.partition("/")[0] in _PEOPLE
            old = movement.destination if gained else movement.source
            person = standing.get(ledger.owner(old) or 0)
            account = account_of(plan, person, movement.unit) if person else old
            amount = -movement.amount if gained else movement.amount
            rows.append(Row(one.line, ledger.owner(old), account, amount, movement.id))
    kinds = {found[row.posting].unit for row in rows if row.posting}
    if len(kinds) > 1:
        faults.append(Fault(0, "一次只能冲正同一种单位", "a proposal reverses movements of one unit only"))
    return rows, faults


def not_to_undo(line: int, movement: Movement) -> Fault | None:
    """Why a movement cannot be reversed, if it cannot."""
    ends = [end.partition("/")[0] in _PEOPLE for end in (movement.source, movement.destination)]
    if sum(ends) != 1:
        return Fault(
            line, "只能冲正用户账户的一笔收入或支出", "only what came to or left a person's account can be reversed"
        )
    if movement.reverses is not None or movement.key.startswith("reverse/"):
        return Fault(line, "这笔本身就是冲正，请用更正", "this is a reversal itself; propose a correction")
    if movement.reversed:
        return Fault(line, "这笔已经冲正过", "this movement was reversed already")
    return None


def _cut(words: str) -> str:
    return words if len(words) <= _WORD_MAX else f"{words[:_WORD_MAX]}…"
