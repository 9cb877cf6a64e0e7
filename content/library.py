"""One applied revision, read and ready: the plan, its sentences, its questions and answers, its pictures.

Made once per revision and shared by all turns; nothing in it changes. It knows no database and no channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from content import faq, phrases, questions, quizzes, surveys
from content.bundle import Bundle
from content.message import Choice
from content.toml import parse

if TYPE_CHECKING:
    from content.posters import Poster


class Library:
    """`plan`, `phrases`, `faq`, `revision`, and the bytes of pictures."""

    def __init__(
        self,
        bundle: Bundle,
        revision: int,
        words: Mapping[str, tuple[str, str]],
        address: str = "",
        asking: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Read a checked bundle. `words` are the commands that can always be typed (normalised word → command).

        `address` is where our own pages stand; sentences call it {address}. `asking` are the accounts (`wechat:main`)
        with a page that asks whether notices may come: the template by kind of notice. Raises PlanFaults when the
        bundle was not fit to be applied.
        """
        self.plan = bundle.plan
        self._address = address
        self.asking = asking or {}
        self.revision = revision
        self.languages = self.plan.languages
        self.files = bundle.files
        self._words = words
        self._choices: dict[tuple[str, str], Choice] = {}  # made at first use: every answer shows some
        self._posters: dict[str, Poster] = {}
        self._fields = {language: self._fields_of(language) for language in phrases.LANGUAGES}
        self.phrases = phrases.Phrases(self._own_phrases(), self._fields)
        self.faq = faq.Index.of(self._read("faq/"), self.plan.languages)
        social = self.plan.social
        self.quizzes = quizzes.read((social.quizzes if social else None) or (), self.files, self.plan.languages)
        self._earlier: dict[int, dict[str, quizzes.Quiz]] = {}
        self.surveys = surveys.read((social.surveys if social else None) or (), self.files, self.plan.languages)
        self.survey_words = surveys.words(self.surveys.values())
        self._earlier_surveys: dict[int, dict[str, surveys.Survey]] = {}
        self._absent = self._without()
        self.keywords = {
            extra.casefold(): words[stands_for.casefold()]
            for extra, stands_for in self.plan.keywords.items()
            if stands_for.casefold() in words
        }

    def choice(self, language: str, command: str) -> Choice:
        """The choice that stands for a command: its label, and the word that tapping it says."""
        made = self._choices.get((language, command))
        if made is None:
            say = self.phrases.say
            made = Choice(say(language, f"choice.{command}"), say(language, f"word.{command}"))
            self._choices[language, command] = made
        return made

    def offers(self, command: str) -> bool:
        """Whether the plan has what a command is about, so that choosing it leads somewhere."""
        return command not in self._absent

    def _without(self) -> frozenset[str]:
        plan = self.plan
        there = {
            "checkin": plan.on("checkin"),
            "points": plan.on("points"),
            "apply": plan.applications is not None,
            "poster": bool(plan.welcome.picture or plan.own_poster),
            "invites": plan.on("referral"),
            "quiz": bool(self.quizzes),
            "survey": bool(self.surveys),
        }
        return frozenset(command for command, is_there in there.items() if not is_there)

    def understands(self, words: str) -> bool:
        """Whether somebody who typed this would be understood: a command's words, the plan's own, or a survey's."""
        return bool(self.command(words))

    def meant(self, said: str) -> tuple[str, str] | None:
        """The mechanic and the command that normalised words stand for: the plan's own, then those always typed."""
        return self.keywords.get(said) or self._words.get(said) or self._words.get(said.removeprefix("/"))

    def command(self, words: str) -> str:
        """The command that these words stand for (`quiz`), or nothing."""
        if questions.same(words) in self.survey_words:
            return "survey"
        found = self.meant(words.strip().casefold())
        return found[1] if found else ""

    def leads_to_quiz(self, words: str) -> bool:
        """Whether these words lead into the quizzes of the plan."""
        return bool(self.quizzes) and self.command(words) == "quiz"

    def leads_to_survey(self, words: str) -> bool:
        """Whether these words lead into a survey of the plan."""
        said = words.strip().casefold()
        return bool(self.surveys) and (questions.same(words) in self.survey_words or said in surveys.STARTERS)

    def fill(self, text: str, language: str) -> str:
        """A text of the plan with the fields every sentence may use."""
        return text.format_map(self._fields[language]) if "{" in text else text

    def poster(self, name: str) -> Poster | None:
        """The poster of that name, read at first use, if there is one. Raises PlanFaults when it cannot be drawn."""
        from content import posters  # drawing libraries: readiness does not wait for them

        if name not in self._posters and name in posters.names(self.files):
            self._posters[name] = posters.Poster.of(self.files, name)
        return self._posters.get(name)

    def earlier_quizzes(self, revision: int, files: Callable[[], Mapping[str, bytes]]) -> dict[str, quizzes.Quiz]:
        """The quizzes of an earlier revision of this plan, whose `files` are read at the first question for them."""
        if revision not in self._earlier:
            self._earlier[revision] = quizzes.read_stored(files())
        return self._earlier[revision]

    def earlier_surveys(self, revision: int, files: Callable[[], Mapping[str, bytes]]) -> dict[str, surveys.Survey]:
        """The surveys of an earlier revision, as `earlier_quizzes`."""
        if revision not in self._earlier_surveys:
            self._earlier_surveys[revision] = surveys.read_stored(files())
        return self._earlier_surveys[revision]

    def picture(self, name: str) -> tuple[bytes, str] | None:
        """Bytes and media type of a picture that belongs to this revision, or None."""
        kind = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png"}.get(name.rpartition(".")[2].lower())
        content = self.files.get(name)
        return (content, kind) if content is not None and kind and not name.startswith("faq/") else None

    def _own_phrases(self) -> dict[str, dict[str, str]]:
        read = self._read("phrases/")
        return {path.removeprefix("phrases/").removesuffix(".toml"): dict(phrases.flatten(read[path])) for path in read}

    def _read(self, folder: str) -> dict[str, dict[str, Any]]:
        """The TOML files of one of the plan's folders."""
        return {
            path: parse(raw.decode("utf-8-sig"), path).data
            for path, raw in self.files.items()
            if path.startswith(folder) and path.endswith(".toml")
        }

    def _fields_of(self, language: str) -> dict[str, str]:
        plan = self.plan
        spoken = language if language in plan.languages else plan.languages[0]
        zone = plan.zone
        return {
            "product": plan.product[spoken],
            "address": self._address,
            "campaign": plan.title[spoken],
            "hotline": plan.response.hotline,
            "hours": plan.response.service_hours[spoken],
            "organiser": plan.organiser.name[spoken],
            "cancel_product": plan.leave.cancel_product[spoken],
            "start": plan.window.start.astimezone(zone).date().isoformat(),
            "end": plan.window.end.astimezone(zone).date().isoformat(),
            "checkin_points": str(plan.checkin.points if plan.checkin else 0),
        }
