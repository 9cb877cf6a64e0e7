"""Every act on a Desk, as every role and upon other branches' people: campaigns/rights.py says what to expect.

The acts are found in the source, so one that nobody gave a right to fails here.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import campaigns
from campaigns import proposals, pushing, rights
from campaigns.desk import ActRefused, Desk, NotAllowed
from content.bundle import Bundle
from content.library import Library
from storage import proposals as stored
from tests.proposing import LIBRARY, House, housed
from tests.talking import SHIPPED

ROLES = [*rights.ROLES, ""]
HELPERS = {"desk:may_see", "desk:sees", "asked:rows_of", "moves:in_force", "moves:weigh"}  # parts of acts, not acts
# What the service does with pushes by itself, with no right to ask for.
HELPERS |= {"push_clock:begin", "push_clock:look_after", "push_clock:stood_still"}
HELPERS |= {"pushing:pause_by_itself", "pushing:rest_or_finish"}
HELPERS |= {f"pushing:{part}" for part in ("keep_step", "locked", "may", "take_step")}
# Nothing to act upon in the scene: no member of staff, no restored copy, nobody who was brought.
WITHOUT_OBJECT = {"copies:release", "standing:reject", "staff:activate", "staff:change", "staff:reset"}
FOLDER = Path(campaigns.__file__).parent
SHIPPED_LIBRARY = Library(Bundle.read(SHIPPED), 1, campaigns.words())
WRITTEN = (
    {
        **{"kind": "text", "text": {"zh": "周五见", "en": "See you on Friday"}, "poster": "", "buttons": ["签到"]},
        **{"about": "campaign", "wechat": "mass"},
    },
    "everyone",
    {"at": "2030-11-29T10:00:00"},
)
PUSH_STATES = ("draft", "submitted", "scheduled", "paused")


def acts_in_source() -> set[str]:
    """Public functions of `campaigns` whose first argument is a Desk."""
    found = set()
    for file in sorted(FOLDER.glob("*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.args.args:
                first = node.args.args[0].annotation
                if isinstance(first, ast.Name) and first.id == "Desk":
                    found.add(f"{file.stem}:{node.name}")
    return found


def test_every_act_has_its_right() -> None:
    assert acts_in_source() - HELPERS == rights.ACTS.keys() | rights.OWN_ACTS
    assert not rights.ACTS.keys() & rights.OWN_ACTS
    assert set(rights.ACTS.values()) <= rights.RIGHTS.keys()


@pytest.fixture(params=["sqlite"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Rights do not depend on the database: one is enough, with the schema that `housed` makes."""
    yield f"sqlite:///{tmp_path / 'koukou.db'}"


@pytest.fixture
def house(empty_database_url: str) -> Iterator[House]:
    with housed(empty_database_url) as house:
        yield house


class Scene:
    """What acts are tried upon: people of two branches and of none, and proposals by staff of each."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.people = {
            "north": house.people(1, branch="north")[0],
            "south": house.people(1, first=6001, branch="south")[0],
            None: house.people(1, first=7001)[0],
        }
        self.proposed = {
            branch: house.propose("goodwill", [(person, 5)], actor=f"staff:{place}", branch=branch).number
            for place, (branch, person) in enumerate(self.people.items(), 90)
        }
        self.tester = house.people(1, first=8001)[0]
        with house.store.begin() as connection:
            connection.execute(text("UPDATE subscriber SET tester_since = 1 WHERE id = :n"), {"n": self.tester})
            desk, other = house.desk(connection, "staff:92"), house.desk(connection, "staff:91")
            made = {name: pushing.create(desk, SHIPPED_LIBRARY, name, name, *WRITTEN) for name in PUSH_STATES}
            for name in PUSH_STATES[1:]:
                pushing.submit(desk, SHIPPED_LIBRARY, made[name].number)
            for name in PUSH_STATES[2:]:
                pushing.approve(other, SHIPPED_LIBRARY, made[name].number, alone=False)
            pushing.pause(desk, made["paused"].number)
        self.pushes = {name: push.number for name, push in made.items()}

    def calls(self, name: str, of: str | None) -> Callable[[Desk], Any]:
        """The act upon somebody or something of a branch."""
        act = getattr(importlib.import_module(f"campaigns.{name.partition(':')[0]}"), name.partition(":")[2])
        number, person = self.proposed[of], self.people[of]
        later = self.house.now + timedelta(hours=1)
        asked = [proposals.Asked(1, str(person), 7)]
        given: dict[str, tuple[Any, ...]] = {
            "copies:release": (0, False),
            "desk:apply_plan": (Bundle.read(SHIPPED), 1),
            "proposals:approve": (LIBRARY, number, 1),
            "proposals:decline": (number,),
            "proposals:faults": (LIBRARY, number),
            "proposals:find": (number,),
            "proposals:lines": (number,),
            "proposals:listed": (),
            "proposals:propose": (LIBRARY, "goodwill", "points", asked, "key"),
            "proposals:withdraw": (number,),
            "push_plan:sync": (SHIPPED_LIBRARY.plan, 1),
            "push_trial:send_test": (SHIPPED_LIBRARY, self.pushes["draft"], self.tester, {"service": ["wechat:main"]}),
            "pushing:approve": (SHIPPED_LIBRARY, self.pushes["submitted"]),
            "pushing:cancel": (self.pushes["draft"],),
            "pushing:change": (SHIPPED_LIBRARY, self.pushes["draft"]),
            "pushing:create": (SHIPPED_LIBRARY, "new", "new", *WRITTEN),
            "pushing:pause": (self.pushes["scheduled"],),
            "pushing:resume": (SHIPPED_LIBRARY, self.pushes["paused"]),
            "pushing:send_back": (self.pushes["submitted"],),
            "pushing:submit": (SHIPPED_LIBRARY, self.pushes["draft"]),
            "revealing:reveal": (person, "asked"),
            "staff:activate": (1, True),
            "staff:add": ("somebody", ["service"], None, "zh", "hash", later),
            "staff:change": (1, ["service"], None),
            "staff:reset": (1, "hash", later),
            **{f"standing:{act}": (person,) for act in ("block", "unblock", "test", "untest", "reject")},
            "survey_results:figures": (SHIPPED_LIBRARY.plan, "service"),
            "survey_results:words": (SHIPPED_LIBRARY.plan, "service", "improve", "evaluation"),
            "stopping:resume": (),
            "stopping:stop": (),
        }
        more = {"proposals:approve": {"alone": False}, "proposals:propose": {"vault": self.house.vault}}
        more["staff:reset"] = {"second": False}
        more["pushing:approve"] = {"alone": False}
        content, audience, schedule = WRITTEN
        more["pushing:change"] = {"name": "x", "content": content, "audience": audience, "schedule": schedule}
        if name == "proposals:cost":
            return lambda desk: act(desk, LIBRARY, stored.find(desk.connection, number))
        inspect.signature(act).bind(None, *given[name], **more.get(name, {}))
        return lambda desk: act(desk, *given[name], **more.get(name, {}))


class Undo(Exception):
    """Takes back what was tried."""


def tried(house: House, act: Callable[[Desk], Any], role: str, branch: str | None, actor: str) -> str:
    """`permitted`, `not allowed`, or `refused` for another reason; nothing of it stays."""
    try:
        with house.store.begin() as connection:
            act(house.desk(connection, actor, [role] if role else [], "because", branch))
            raise Undo
    except Undo:
        return "permitted"
    except NotAllowed:
        return "not allowed"
    except ActRefused:
        return "refused"


def test_every_act_as_every_role(house: House) -> None:
    scene = Scene(house)
    before = house.everything()
    for name, right in rights.ACTS.items():
        for role in ROLES:
            actor = "staff:92" if name == "proposals:withdraw" else "staff:7"
            end = tried(house, scene.calls(name, None), role, None, actor)
            if right in rights.of([role]):
                assert end == ("refused" if name in WITHOUT_OBJECT else "permitted"), (name, role)
            else:
                assert end == "not allowed", (name, role)
    assert house.everything() == before


@pytest.mark.parametrize(
    "name", sorted(name for name in rights.ACTS if name.startswith(("proposals", "revealing", "standing")))
)
def test_no_act_reaches_somebody_of_another_branch(name: str, house: House) -> None:
    scene = Scene(house)
    able = next(role for role in ROLES if rights.ACTS[name] in rights.of([role]))
    if name == "proposals:listed":
        with house.store.read() as connection:
            shown = proposals.listed(house.desk(connection, roles=[able], branch="north"))
            assert [one.number for one in shown] == [scene.proposed["north"]]
        return
    for place, of in enumerate(scene.people, 90):
        act, actor = scene.calls(name, of), f"staff:{place}" if name == "proposals:withdraw" else "staff:7"
        before = house.everything()
        for branch in ("north", "south", None):
            end = tried(house, act, able, branch, actor)
            if branch in (None, of):
                assert end == ("refused" if name in WITHOUT_OBJECT else "permitted"), (name, of, branch, end)
            else:
                assert end in ("not allowed", "refused"), (name, of, branch, end)
        assert house.everything() == before


def test_no_staff_of_a_branch_moves_a_push_for_it_reaches_everybody(house: House) -> None:
    scene = Scene(house)
    names = [name for name, right in rights.ACTS.items() if right in ("pushes.write", "pushes.approve")]
    assert len(names) == 9
    for name in names:
        assert tried(house, scene.calls(name, None), "administrator", "north", "staff:7") == "not allowed", name
        assert tried(house, scene.calls(name, None), "administrator", None, "staff:7") == "permitted", name


@pytest.mark.parametrize("name", sorted(rights.OWN_ACTS))
def test_what_somebody_does_for_themselves_nobody_does_for_them(name: str, house: House) -> None:
    act = getattr(importlib.import_module("campaigns.staff"), name.partition(":")[2])
    given: dict[str, tuple[Any, ...]] = {
        "staff:end_session": (1, None),
        "staff:entered": (1,),
        "staff:set_language": (1, "en"),
        "staff:set_password": (1, "hash", 5),
        "staff:set_second": (1, b"sealed", 5, [], 5),
    }
    for role in ROLES:
        if name == "staff:end_session" and "staff.manage" in rights.of([role]):
            continue
        end = tried(house, lambda desk: act(desk, *given[name]), role, None, "staff:7")
        assert end in ("not allowed", "refused"), (name, role)
