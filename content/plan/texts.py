"""Words in a plan: bilingual texts, labels, file names and addresses, each within what the platforms can show.

Lengths are WeChat's and Telegram's; what the words say is judged elsewhere.
"""

from __future__ import annotations

import difflib
import string
import unicodedata
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, RootModel, ValidationInfo

from content.plan.terms import refuse

WECHAT_TEXT_BYTES = 2048  # passive and customer-service text; beyond it the platform answers 45002
TELEGRAM_CAPTION = 1024  # characters below a picture
TELEGRAM_BUTTON_BYTES = 64  # callback_data
CHANNEL = r"^(@[A-Za-z][A-Za-z0-9_]{3,31}|-100[0-9]{6,13})$"  # on Telegram
FIELDS = frozenset(  # what a text of the plan may leave to be filled in, as {product}
    {"product", "campaign", "hotline", "hours", "organiser", "cancel_product", "start", "end", "checkin_points"}
)


class Text(RootModel[dict[str, str]]):
    """Words in each of the plan's languages: `text["zh"]`."""

    model_config = ConfigDict(frozen=True)

    def __getitem__(self, language: str) -> str:
        return self.root[language]

    def items(self) -> Iterator[tuple[str, str]]:
        """Each language with its words."""
        return iter(self.root.items())


def _in_every_language(text: Text, info: ValidationInfo) -> Text:
    languages = (info.context or {}).get("languages") or ()
    foreign = [language for language in text.root if languages and language not in languages]
    if foreign:
        near = difflib.get_close_matches(foreign[0], languages, n=1)
        hint = (f"是不是 {near[0]}？", f"did you mean {near[0]}?") if near else ("见 languages", "see `languages`")
        names = ", ".join(foreign)
        raise refuse(f"方案没有语言 {names}", f"not one of the plan's languages: {names}", *hint, below=foreign[0])
    absent = [language for language in languages if not text.root.get(language, "").strip()]
    if absent:
        names = ", ".join(absent)
        raise refuse(f"缺少文字：{names}", f"no text in: {names}", f"补上 .{absent[0]} = …", f"add .{absent[0]} = …")
    for language, words in text.items():
        _fillable(language, words)
    return text


def _fillable(language: str, words: str) -> None:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(words) if name is not None}
    except ValueError:
        names = {words}
    if not names <= FIELDS:
        raise refuse(
            "大括号里不是可用的字段",
            "braces hold something that cannot be filled in",
            f"可用：{'、'.join(sorted(FIELDS))}",
            f"fields: {', '.join(sorted(FIELDS))}",
            below=language,
        )


def strange(text: str) -> str:
    """What stands in braces and is no field that texts may use; empty when all is well."""
    if "{" not in text:
        return ""
    try:
        for _, name, form, conversion in string.Formatter().parse(text):
            if name is not None and (name not in FIELDS or form or conversion):
                return "{" + name + "}"
    except ValueError:
        return "{ }"
    return ""


def width(text: str) -> int:
    """How wide a label is shown, in half characters: a Chinese character counts 2."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _limited(measure: Callable[[str], int], most: int, zh: str, en: str) -> AfterValidator:
    def check(value: Any) -> Any:
        for language, words in value.items() if isinstance(value, Text) else [("", value)]:
            if (size := measure(words)) > most:
                where = f"{language} " if language else ""
                raise refuse(f"{where}太长：{size}，{zh}", f"{where}too long: {size}; {en}", below=language)
        return value

    return AfterValidator(check)


def _bytes(text: str) -> int:
    return len(text.encode())


def _in_all(value: Any, info: ValidationInfo) -> Any:
    languages = (info.context or {}).get("languages") or ()
    return dict.fromkeys(languages, value) if isinstance(value, str) else value


def _alone(value: Any, info: ValidationInfo) -> Any:
    """In a plan of one language its name need not stand behind every text."""
    return _in_all(value, info) if len((info.context or {}).get("languages") or ()) == 1 else value


_ALONE = BeforeValidator(_alone)
_EVERY = AfterValidator(_in_every_language)
_NAME_LIMIT = _limited(len, 120, "名称最多 120 字", "at most 120 characters")
_TEXT_LIMIT = _limited(_bytes, WECHAT_TEXT_BYTES, "微信文字最多 2048 字节", "WeChat takes 2048 bytes")
_CAPTION_LIMIT = _limited(len, TELEGRAM_CAPTION, "Telegram 图片说明最多 1024 字", "Telegram captions hold 1024")
_BUTTON_LIMIT = _limited(_bytes, TELEGRAM_BUTTON_BYTES, "Telegram 按钮最多 64 字节", "Telegram buttons hold 64 bytes")

Words = Annotated[str, Field(strict=True, min_length=1)]
File = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_.-]+)+$")]
Url = Annotated[str, Field(strict=True, pattern=r"^https?://[^\s]+$", max_length=1024)]
Says = Annotated[str, Field(strict=True, min_length=1), _BUTTON_LIMIT]
# A channel: its @name, or its number as the platform gives it.
Public = Annotated[str, Field(strict=True, pattern=CHANNEL)]
# What tapping a button says: one word that is understood in every language, or one for each.
Taps = Annotated[Text, BeforeValidator(_in_all), _EVERY, _BUTTON_LIMIT]
Name = Annotated[Text, _ALONE, _EVERY, _NAME_LIMIT]
Headline = Annotated[Text, _ALONE, _EVERY, _limited(len, 64, "标题最多 64 字", "a title has at most 64 characters")]
Digest = Annotated[Text, _ALONE, _EVERY, _limited(len, 120, "摘要最多 120 字", "a digest has at most 120 characters")]
Long = Annotated[Text, _ALONE, _EVERY, _TEXT_LIMIT]
Caption = Annotated[Text, _ALONE, _EVERY, _CAPTION_LIMIT, _TEXT_LIMIT]
MenuLabel = Annotated[
    Text,
    _ALONE,
    _EVERY,
    _limited(width, 8, "一级菜单最多 4 个汉字", "a menu button shows 4 Chinese characters, 8 letters"),
]
SubLabel = Annotated[
    Text,
    _ALONE,
    _EVERY,
    _limited(width, 16, "二级菜单最多 8 个汉字", "a sub-button shows 8 Chinese characters, 16 letters"),
]
