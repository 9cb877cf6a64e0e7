"""The name on a person's own poster: the one they chose, screened, kept encrypted with their profile, or none.

Nothing of it goes into events or into a picture's name; a mark without meaning tells that it changed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from campaigns.turn import Turn
from content.plan.texts import width

CLAUSES = ()
WORDS = {
    "poster_name": ("海报名字", "海报署名", "改海报名字", "poster name", "name on my poster"),
    "no_name": ("不署名", "去掉海报名字", "no name", "remove my name"),
}
FIELD = "poster_name"  # in the profile
MOST_WIDTH = 24  # half characters: 12 Chinese characters or 24 letters
_DIGITS = 4  # more make a number to call or to add
_CHINESE_DIGITS = re.compile("[零〇一二三四五六七八九十两壹贰叁肆伍陆柒捌玖拾幺]{5,}")
_ADDRESS = re.compile(r"https?|www|[^\s.]\.[^\s.]", re.IGNORECASE)
_MARKS = frozenset(" ·.'’-")  # with letters of two scripts, all that names need and the poster's font surely has
# Letters beyond Latin-1 that the posters' font has: pinyin, and some of Europe's.
_FURTHER = frozenset("ĀāĂăĆćĊċČčĎďĐđĒēĖėĚěĠġĨĩĪīİĹĺĽľŃńŇňŌōŎŏŒœŔŕŘřŚśŠšŤťŨũŪūŬŭŹźŻżŽžƠơƯưǍǎǏǐǑǒǓǔǕǖǗǘǙǚǛǜǸǹ")
_LOOKALIKES = str.maketrans("01345$@!", "oieasaai")


def answer(turn: Turn, command: str) -> None:
    """Ask which name the poster should carry, or take it off."""
    if turn.plan.own_poster is None:
        turn.say("poster.campaign", "poster", "menu")
    elif turn.is_guest:
        turn.say("poster.name_guest", "poster", "menu")
    elif command == "no_name":
        _set(turn, "")
    else:
        turn.remember("form", {"mechanic": "naming"})
        key = "poster.name_change" if mark(turn) else "poster.name_ask"
        turn.say(key, "no_name", "menu")


def on_form(turn: Turn, form: dict[str, Any]) -> bool:
    """Take the name when it may stand on a poster, else say why not and ask again; words and questions stay such."""
    said = turn.heard.text.strip()
    lowered = said.casefold()
    if not said or turn.library.meant(lowered):
        return False
    if turn.library.faq.ask(said, turn.language).answer:
        return False
    name = tidy(said)
    if fault := unfit(name, _banned(turn)):
        turn.remember("form", form)
        turn.say(fault, "no_name", "menu")
    else:
        _set(turn, name)
    return True


def mark(turn: Turn) -> str:
    """Which choice of a name this is, so that no cache shows an earlier one; empty when none was chosen."""
    return str(turn.recall("poster").get("name", ""))


def tidy(text: str) -> str:
    """A name as it is kept: one width, single spaces, nothing around it."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def unfit(name: str, banned: Iterable[str]) -> str:
    """The phrase that says why a tidied `name` cannot stand on a poster; empty when it can."""
    if width(name) > MOST_WIDTH:
        return "poster.name_long"
    digits = sum(char.isdigit() for char in name)
    if digits > _DIGITS or _CHINESE_DIGITS.search(squeezed(name)) or _ADDRESS.search(name):
        return "poster.name_number"
    if not any(char.isalpha() for char in name) or not all(_plain(char) for char in name):
        return "poster.name_letters"
    return "poster.name_banned" if _says(name, banned) else ""


def squeezed(text: str) -> str:
    """Words without what people put between letters to hide them."""
    return "".join(char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum())


def _says(name: str, banned: Iterable[str]) -> bool:
    """Chinese words are found anywhere; Latin ones of up to three letters only as a word of their own."""
    whole = squeezed(name)
    plain = {whole, _unaccented(whole), _unaccented(whole).translate(_LOOKALIKES)}
    single = {_unaccented(part) for part in re.findall(r"[^\W_]+", name.casefold())}
    single |= {part.translate(_LOOKALIKES) for part in single} | plain
    for word in map(squeezed, banned):
        if word and (word in single if word.isascii() and len(word) < 4 else any(word in text for text in plain)):
            return True
    return False


def _unaccented(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))


def _plain(char: str) -> bool:
    """Chinese characters, Latin letters, digits and a few marks: other scripts hide words, and fonts lack them."""
    if char in _MARKS or (char.isascii() and char.isalnum()):
        return True
    return "\u4e00" <= char <= "\u9fef" or ("\u00c0" <= char <= "\u00ff" and char.isalpha()) or char in _FURTHER


def _banned(turn: Turn) -> Iterable[str]:
    """The plan's words, and the names of the organiser and the product, which no subscriber speaks for."""
    plan = turn.plan
    own = [name for text in (plan.organiser.name, plan.product) for _, name in text.items()]
    return (*(plan.referral.poster.banned if plan.referral and plan.referral.poster else ()), *own)


def _set(turn: Turn, name: str) -> None:
    turn.tell(FIELD, name or None)
    turn.remember("poster", {"name": f"{turn.dice.getrandbits(32):08x}"} if name else {})
    turn.note("poster_name", chosen=bool(name))
    key = "poster.name_done" if name else "poster.name_none"
    turn.say(key, "poster", "menu")
