"""Commands that write are run by the serving process on SQLite: one JSON line in, one out, on a socket only its owner
may open; a job that takes long says between them how far it is. Knows which acts may be asked for, nothing of how they
are done.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot import followers
from campaigns import copies, push_plan, rights, words
from campaigns.asked import Fault, Unfit
from campaigns.desk import ActRefused, Desk, apply_plan
from content.bundle import Bundle
from content.library import Library

if TYPE_CHECKING:
    from bot.app import App

_LINE_MAX = 64 * 1024 * 1024  # a plan's files in base64


def socket_path(database: Path) -> Path:
    """Where the serving process of this database listens."""
    return database.with_name(database.name + ".sock")


class Handoff:
    """The serving side. On PostgreSQL there is nothing to hand over: commands write for themselves."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._path = socket_path(app.store.path) if app.store.path else None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; a socket left by a process that died is replaced, since we hold the database's lock."""
        if self._path:
            self._path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_LINE_MAX)
            finally:
                os.umask(before)

    async def close(self) -> None:
        """Stop listening."""
        if self._server and self._path:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def tell(progress: dict[str, int]) -> None:
            if not writer.is_closing():
                writer.write(json.dumps({"progress": progress}).encode() + b"\n")

        try:
            answer = await self._answer(json.loads(await reader.readline()), tell)
        except ActRefused as refused:
            answer = {"refused": {"zh": refused.zh, "en": refused.en}}
            if isinstance(refused, Unfit):
                answer["faults"] = [[fault.line, fault.zh, fault.en] for fault in refused.faults]
        except (ValueError, KeyError) as broken:
            answer = {"refused": {"zh": f"命令不完整：{broken}", "en": f"incomplete command: {broken}"}}
        with contextlib.suppress(ConnectionError):  # who asked may have gone; what was done stays done
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, asked: dict[str, Any], tell: followers.Tell) -> dict[str, Any]:
        assert self._app.writer
        if asked["act"] in followers.JOBS:
            return await followers.do(self._app, asked, tell)
        now = self._app.now()
        if str(asked["act"]).startswith("act."):
            from bot import commands_act

            alone = not self._app.settings.console.second_person
            means = commands_act.Means(self._app.vault, alone, self._app.writer.library)
            return await self._app.writer.run(lambda connection: commands_act.perform(connection, asked, now, means))
        if str(asked["act"]).startswith("push."):
            from bot import commands_push

            assert self._app.pushes
            ways, library = await self._app.pushes.ways(), self._app.writer.library
            alone = not self._app.settings.console.second_person
            return await self._app.writer.run(
                lambda connection: commands_push.perform(connection, asked, now, library, ways, alone=alone)
            )
        return await self._app.writer.run(lambda connection: perform(connection, asked, now))


def perform(connection: Any, asked: dict[str, Any], now: Any) -> dict[str, Any]:
    """Do one act in the given transaction. Raises ActRefused, or ValueError for an act nobody knows."""
    if asked["act"] == "plan.apply":
        files = {path: base64.b64decode(raw) for path, raw in asked["files"].items()}
        desk = Desk(connection, "operator", rights.OPERATOR, now, asked.get("why", ""))
        bundle = Bundle.of(files)
        applied = apply_plan(desk, bundle, asked["expected"])
        if applied.changed:
            library = Library(bundle, applied.number, words()) if asked.get("alone") else None
            push_plan.sync(desk, bundle.plan, applied.number, library)
        return {"number": applied.number, "changed": applied.changed}
    if asked["act"] == "backup.release":
        desk = Desk(connection, "operator", rights.OPERATOR, now)
        return copies.release(desk, int(asked["expected"]), bool(asked["drop"]))
    if str(asked["act"]).startswith("service."):
        from bot import commands_stop

        return commands_stop.perform(connection, asked, now)
    if str(asked["act"]).startswith("standing."):
        from bot import commands_standing

        return commands_standing.perform(connection, asked, now)
    if str(asked["act"]).startswith("staff."):
        from bot import commands_staff

        return commands_staff.perform(connection, asked, now)
    raise ValueError(asked["act"])


def ask(database: Path, asked: dict[str, Any], tell: followers.Tell = lambda progress: None) -> dict[str, Any] | None:
    """Hand an act to the serving process; None when no process serves this database. Raises ActRefused.

    `tell` hears how far a long job is.
    """
    path = socket_path(database)
    if not path.exists():
        return None
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        line.sendall(json.dumps(asked).encode() + b"\n")
        for said in line.makefile("rb"):
            answer: dict[str, Any] = json.loads(said)
            if "progress" in answer:
                tell(answer["progress"])
            elif "faults" in answer:
                raise Unfit([Fault(*fault) for fault in answer["faults"]])
            elif "refused" in answer:
                raise ActRefused(**answer["refused"])
            else:
                return answer
    zh, en = "服务在完成之前停止了，再运行一次会接着做", "the service ended before it was done; run it again to go on"
    raise ActRefused(zh, en)
