"""Every sentence stands in both languages with the same fields and is said; plans may replace it, not break it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from campaigns import mechanics, menu
from content import phrases

ROOT = Path(__file__).parent.parent


def test_both_languages_have_the_same_sentences_and_fields() -> None:
    chinese, english = phrases.shipped("zh"), phrases.shipped("en")
    assert chinese.keys() == english.keys()
    for key in chinese:
        assert phrases.fields(chinese[key]) == phrases.fields(english[key]), key


def test_every_sentence_is_used_and_every_used_one_exists() -> None:
    source = "\n".join(
        path.read_text() for room in ("campaigns", "bot", "content") for path in (ROOT / room).rglob("*.py")
    )
    named = set(re.findall(r'"([a-z]+(?:\.[a-z_]+)+)"', source))
    known = set(phrases.shipped("zh"))
    families = ("choice.", "word.", "reason.", "privacy.kept.", "help.")  # named by what they stand for
    missing = {
        name
        for name in named
        if not name.endswith(".toml") and name.split(".")[0] + "." in {k.split(".")[0] + "." for k in known}
    } - known
    assert missing - {f"{family}" for family in families} == set()
    built = ("checkin.", "human.", "referral.")  # the last part is put together from what happened
    unused = {key for key in known - named if not key.startswith((*families, *built))}
    assert unused == set()


def test_what_help_explains_has_a_line() -> None:
    assert {key for key in phrases.shipped("zh") if key.startswith("help.")} == {
        "help.all",
        *(f"help.{command}" for command in menu.EXPLAINED),
    }


def test_every_choice_can_be_tapped_in_both_languages() -> None:
    """What a choice says must be a word that its mechanic hears."""
    from campaigns import words

    for language in phrases.LANGUAGES:
        said = phrases.shipped(language)
        for key in said:
            if key.startswith("choice."):
                command = key.removeprefix("choice.")
                mechanic, heard = words()[said[f"word.{command}"].casefold()]
                assert heard == command
                assert mechanic in mechanics()


def test_no_word_belongs_to_two_commands() -> None:
    typed = [word for module in mechanics().values() for listed in module.WORDS.values() for word in listed]
    assert len(typed) == len(set(typed))


@pytest.mark.parametrize(
    ("file", "tree", "key"),
    [
        ("phrases/fr.toml", {}, ""),
        ("phrases/zh.toml", {"menu": {"al": "x"}}, "menu.al"),
        ("phrases/zh.toml", {"menu": {"all": "{nobody}"}}, "menu.all"),
        ("phrases/zh.toml", {"menu": {"all": "{"}}, "menu.all"),
        ("phrases/zh.toml", {"menu": {"all": 3}}, "menu.all"),
    ],
)
def test_a_plans_own_sentences_are_checked(file: str, tree: dict[str, object], key: str) -> None:
    found = phrases.faults(file, tree)
    assert [fault[0] for fault in found] == [key]


def test_a_plan_replaces_a_sentence() -> None:
    own = phrases.Phrases({"zh": {"menu.all": "{product}能做什么？"}}, {"zh": {"product": "亲情网"}})
    assert own.say("zh", "menu.all") == "亲情网能做什么？"
    assert own.say("en", "menu.all").startswith("What would")
