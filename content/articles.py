"""An article of a push: its title, digest and body, written in a few marks, and made into the markup WeChat shows.

`## ` begins a heading, `- ` a line of a list, `**` encloses what is bold, an empty line parts paragraphs; anything else
is text and is shown as it stands, markup included. Knows no platform beyond its limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from content.library import Library
from content.plan.texts import strange

TITLE_MOST: Final = 64  # characters; "Adding a draft"
HEADLINE_MOST: Final = 32  # what the platform shows of a title without cutting it
DIGEST_MOST: Final = 120
AUTHOR_MOST: Final = 16
HTML_MOST: Final = 19_000  # of the platform's 20,000 characters: the picture and how to leave come on top
PARTS: Final = ("title", "digest", "body")
_BOLD = re.compile(r"\*\*(.+?)\*\*")

Fault = tuple[str, str]  # Chinese, English


def headline(text: str) -> str:
    """The title that a text gets which has none: its first line, cut between words where there are any."""
    line = text.partition("\n")[0]
    if len(line) <= HEADLINE_MOST:
        return line
    space = line.rfind(" ", HEADLINE_MOST // 2, HEADLINE_MOST)
    return f"{line[: space if space > 0 else HEADLINE_MOST - 1]}…"


def said(article: Mapping[str, Any], part: str, library: Library, language: str) -> str:
    """One part in a language, its fields filled in; a body may lie in the plan's file `<file>.<language>.md`."""
    given = _written(article, part, library, language)
    return given if strange(given) else library.fill(given, language)


def _written(article: Mapping[str, Any], part: str, library: Library, language: str) -> str:
    words = article.get(part, {})
    given = str(words.get(language, "")).strip() if isinstance(words, Mapping) else ""
    if part == "body" and not given and article.get("file"):
        given = library.files.get(f"{article['file']}.{language}.md", b"").decode("utf-8-sig", "replace").strip()
    return given


def faults(article: Mapping[str, Any], library: Library) -> Iterator[Fault]:
    """What keeps it from being sent."""
    if len(str(article.get("author", ""))) > AUTHOR_MOST:
        yield f"作者最多 {AUTHOR_MOST} 个字", f"the author has at most {AUTHOR_MOST} characters"
    for language in library.plan.languages:
        title, digest, body = (said(article, part, library, language) for part in PARTS)
        for odd in filter(None, (strange(_written(article, part, library, language)) for part in PARTS)):
            yield (
                f"图文（{language}）里的 {odd} 填不出来，要原样显示就写两个 {{{{",
                f"nothing fills {odd} in the article in {language}; to show a brace write it twice",
            )
        if not title:
            yield f"缺少图文标题（{language}）", f"the article has no title in {language}"
        elif len(title) > TITLE_MOST:
            yield (
                f"图文标题（{language}）最多 {TITLE_MOST} 个字",
                f"its title in {language}: {TITLE_MOST} characters at most",
            )
        if len(digest) > DIGEST_MOST:
            yield f"图文摘要（{language}）最多 {DIGEST_MOST} 个字", f"its digest in {language}: {DIGEST_MOST} at most"
        if not body:
            yield f"缺少图文正文（{language}）", f"the article has no body in {language}"
        elif (length := len(html(body))) > HTML_MOST:
            yield (
                f"图文正文（{language}）太长：排版后 {length} 个字符，最多 {HTML_MOST}",
                f"the article's body in {language} is too long: {length} characters as markup, {HTML_MOST} at most",
            )


def tree(
    article: Mapping[str, Any], library: Library, language: str, spoken: Sequence[str], link: str
) -> dict[str, Any]:
    """The article as a mass send takes it. `spoken` stands where it cannot be shown; all but the first of it, which
    says how to answer and to leave, stands below the body as well."""
    body = said(article, "body", library, language)
    told = {
        "title": said(article, "title", library, language),
        "text": "\n".join(spoken),
        "html": html(body) + "".join(f"<p>{escape(line)}</p>" for line in spoken[1:]),
        "digest": said(article, "digest", library, language) or plain(body).replace("\n", " ")[:DIGEST_MOST],
        "author": str(article.get("author", "")),
        "link": link,
    }
    return {name: value for name, value in told.items() if value}


def html(body: str) -> str:
    """The body as markup: headings, lists, paragraphs, bold; whatever else stands there is escaped."""
    return "".join(_shown(kind, lines) for kind, lines in _blocks(body))


def plain(body: str) -> str:
    """The body without its marks."""
    lines = ("\n".join(f"· {one}" if kind == "list" else one for one in lines) for kind, lines in _blocks(body))
    return _BOLD.sub(r"\1", "\n".join(lines))


def _blocks(body: str) -> Iterator[tuple[str, list[str]]]:
    """(`heading` | `list` | `text`, its lines)."""
    kind, lines = "", list[str]()
    for line in (*map(str.strip, body.splitlines()), ""):
        is_now = "heading" if line.startswith("## ") else "list" if line.startswith("- ") else "text" if line else ""
        if lines and (is_now != kind or kind == "heading"):
            yield kind, lines
            lines = []
        kind = is_now
        if line:
            lines.append(line.removeprefix("## ").removeprefix("- "))
    if lines:
        yield kind, lines


def _shown(kind: str, lines: list[str]) -> str:
    if kind == "list":
        return f"<ul>{''.join(f'<li>{_inline(line)}</li>' for line in lines)}</ul>"
    name = "h2" if kind == "heading" else "p"
    return f"<{name}>{'<br/>'.join(map(_inline, lines))}</{name}>"


def _inline(line: str) -> str:
    return _BOLD.sub(r"<strong>\1</strong>", escape(line))
