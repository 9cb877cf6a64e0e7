"""What may be kept as a message: every message that content makes, and nothing that was bent; words fit to store."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content.message import Choice, Message, Picture, Poll
from storage.trees import CHOICES_MAX, TEXT_MAX, check_message, clean

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60)
CHOICES = st.one_of(
    st.builds(Choice, WORDS, WORDS), st.builds(lambda label, path: Choice(label, url=f"https://x/{path}"), WORDS, WORDS)
)
MESSAGES = st.builds(
    Message,
    WORDS,
    st.one_of(st.none(), st.builds(Picture, WORDS, WORDS)),
    st.lists(CHOICES, max_size=5).map(tuple),
    edits=st.one_of(st.just(""), WORDS),
    poll=st.one_of(
        st.none(),
        st.builds(
            Poll,
            WORDS,
            st.lists(WORDS, min_size=2, max_size=10).map(tuple),
            st.integers(0, 1),
            WORDS,
            st.one_of(st.just(""), WORDS),
            st.one_of(st.just(0), st.integers(5, 600)),
        ),
    ),
)
WHOLE: dict[str, Any] = Message(
    "你好",
    Picture("pictures/welcome.jpg", "欢迎"),
    (Choice("签到", "签到"), Choice("Page", url="/r/ABC")),
    poll=Poll("2 + 2?", ("3", "4"), 1, "答题 family 1-1"),
).tree()


@given(MESSAGES)
def test_every_message_passes_and_comes_back_from_json(message: Message) -> None:
    tree = message.tree()
    check_message(tree)
    assert Message.of(json.loads(json.dumps(tree, ensure_ascii=False))) == message


def test_a_picture_alone_is_a_message() -> None:
    check_message({"text": "", "picture": {"name": "a.jpg", "alt": ""}})


@pytest.mark.parametrize("tree", [None, [], "text", 1, [("text", "x")], {}, {"text": None}, {"text": ""}])
def test_what_is_no_message(tree: object) -> None:
    with pytest.raises(ValueError, match=r"^message"):
        check_message(tree)


PLACES: dict[str, tuple[tuple[str | int, ...], object]] = {
    "message.text: not a text": (("text",), 5),
    "message.text: 4097 characters": (("text",), "x" * (TEXT_MAX + 1)),
    "message.text: holds": (("text",), "a\0b"),
    "message.picture: not an object": (("picture",), "a.jpg"),
    "message.picture.name: empty": (("picture", "name"), ""),
    "message.picture.alt: not a text": (("picture", "alt"), None),
    "message.picture.width: unknown": (("picture", "width"), 5),
    "message.choices: not a list": (("choices",), {"label": "x"}),
    "message.choices: not a list of 1": (("choices",), []),
    f"message.choices: not a list of 1 to {CHOICES_MAX}": (("choices",), [{"label": "x", "say": "x"}] * 101),
    "message.choices[0]: not an object": (("choices", 0), "签到"),
    "message.choices[0].label: empty": (("choices", 0, "label"), ""),
    "message.choices[0].say: empty": (("choices", 0, "say"), ""),
    "message.choices[0].say: holds": (("choices", 0, "say"), "\ud800"),
    "message.choices[0].say: unknown": (("choices", 0, "url"), "https://x/"),
    "message.choices[1].url: not a page": (("choices", 1, "url"), "javascript:alert(1)"),
    "message.choices[1].label: not a text": (("choices", 1, "label"), True),
    "message.poll: not an object": (("poll",), []),
    "message.poll.question: empty": (("poll", "question"), ""),
    "message.poll.question: 301 characters": (("poll", "question"), "x" * 301),
    "message.poll.say: empty": (("poll", "say"), ""),
    "message.poll.why: 201 characters": (("poll", "why"), "x" * 201),
    "message.poll.options: not a list": (("poll", "options"), ["only"]),
    "message.poll.options[1]: empty": (("poll", "options", 1), ""),
    "message.poll.options[0]: 101 characters": (("poll", "options", 0), "x" * 101),
    "message.poll.right: no option": (("poll", "right"), 2),
    "message.poll.seconds: neither": (("poll", "seconds"), 4),
    "message.poll.html: unknown": (("poll", "html"), ""),
    "message.html: unknown": (("html",), "<b>"),
}


@pytest.mark.parametrize("fault", PLACES)
def test_a_fault_is_named_by_its_place(fault: str) -> None:
    (*path, last), value = PLACES[fault]
    tree = deepcopy(WHOLE)
    branch: Any = tree
    for step in path:
        branch = branch[step]
    branch[last] = value
    with pytest.raises(ValueError) as refused:
        check_message(tree)
    assert str(refused.value).startswith(fault)


@pytest.mark.parametrize("path", [("text",), ("picture", "name"), ("picture", "alt"), ("choices", 0, "label")])
def test_a_part_that_is_missing_is_named(path: tuple[str | int, ...]) -> None:
    tree = deepcopy(WHOLE)
    branch: Any = tree
    for step in path[:-1]:
        branch = branch[step]
    del branch[path[-1]]
    with pytest.raises(ValueError, match=f"{path[-1]}: missing$"):
        check_message(tree)


@given(st.text(st.characters(), max_size=300))
def test_clean_words_can_be_stored_and_stay_clean(heard: str) -> None:
    kept = clean(heard)
    kept.encode("utf-8")
    assert "\0" not in kept
    assert (clean(kept), len(kept)) == (kept, len(heard))
    assert all(new in (old, "\ufffd") for old, new in zip(heard, kept, strict=True))


def test_words_are_cut_at_the_longest_a_channel_carries() -> None:
    assert clean("口" * 5000) == "口" * TEXT_MAX
    assert clean("签到 👍🏽") == "签到 👍🏽"
