"""`koukou poster …`: draws posters as staff will see them, with a sample code and name.

A thin skin: it reads a plan's folder or the applied plan, and writes pictures to a folder.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot import completing, terminal
from bot.terminal import Json, applied, language, reading, refuse, say

if TYPE_CHECKING:
    from bot.config import Settings
    from content.bundle import Bundle
    from content.posters import Poster

poster_cli = typer.Typer(
    no_args_is_help=True, help="海报：按方案里的文件夹画出来 | posters, drawn from the plan's folders"
)


@poster_cli.callback()
def _group() -> None:
    """Keeps `render` a command of its own."""


@poster_cli.command("render")
def render(
    context: typer.Context,
    poster: Annotated[
        str | None,
        typer.Argument(
            help="海报名，如 invite；不写就全部 | e.g. invite; all when left out", autocompletion=completing.posters
        ),
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="方案文件夹，默认用设置里的 | the plan's folder")] = None,
    from_applied: Annotated[bool, typer.Option("--applied", help="用已应用的方案 | the applied plan instead")] = False,
    tongue: Annotated[
        str | None,
        typer.Option(
            "--language",
            help="语言，如 zh；不写就全部 | e.g. zh; all when left out",
            autocompletion=completing.languages,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="写到哪个文件夹 | a folder to write to")] = Path("posters"),
    on_sheet: Annotated[bool, typer.Option("--sheet", help="全部画在一张图上 | all on one picture, sheet.jpg")] = False,
    url: Annotated[
        str | None, typer.Option(help="二维码内容，默认活动页 | what the code holds; the campaign page")
    ] = None,
    name: Annotated[str, typer.Option(help="称呼或推广点位名 | a person's or place's name")] = "",
    until: Annotated[str, typer.Option(help="有效期，照原样写 | valid until, as it is to be read")] = "",
    code: Annotated[str, typer.Option(help="可输入的推荐码 | the code that can be typed")] = "",
    as_json: Json = False,
) -> None:
    """画一张海报，或全部 | draw one poster, or all of them."""
    from content.faults import PlanFaults
    from content.posters import QrTooLong, posters, sheet

    settings = terminal.settings(context.find_root().params.get("config"))
    try:
        known = posters(_bundle(settings, plan, from_applied).files)
    except PlanFaults as broken:
        for fault in broken.faults:
            typer.echo(fault.text(language()), err=True)
        raise typer.Exit(1) from None
    chosen = _chosen(known, poster, tongue)
    target = url or settings.service.public_url
    drawings: dict[str, bytes] = {}
    for one, spoken in chosen:
        try:
            drawings[f"{one.name}-{spoken}.jpg"] = one.draw(
                spoken, qr=target, name=name, fields={"until": until, "code": code}
            )
        except QrTooLong as wrong:
            zh, en = f"二维码内容太长（{wrong}）：{one.name}", f"too much for the QR code ({wrong}): {one.name}"
            raise refuse(zh, en) from None
    if on_sheet:
        drawings = {"sheet.jpg": sheet(list(drawings.values()))}
    written = _written(out, drawings)
    if as_json:
        typer.echo(json.dumps({"qr": target, "written": [str(path) for path in written]}, ensure_ascii=False, indent=2))
        return
    for path, raw in zip(written, drawings.values(), strict=True):
        say(f"已写 {path}（{len(raw) // 1024} KB）", f"wrote {path} ({len(raw) // 1024} kB)")
    say(f"二维码内容：{target}", f"the QR code holds {target}")


def _bundle(settings: Settings, folder: Path | None, from_applied: bool) -> Bundle:
    from content.bundle import Bundle

    if from_applied and folder:
        raise refuse("--plan 和 --applied 只能写一个", "either --plan or --applied")
    if from_applied:
        return applied(reading(settings), None)[0]
    return Bundle.read(folder or settings.service.plans[0])


def _chosen(known: dict[str, Poster], name: str | None, tongue: str | None) -> list[tuple[Poster, str]]:
    if name is not None and name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        zh = f"是不是 {near[0]}？" if near else f"有：{'、'.join(known)}"
        en = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
        raise refuse(f"没有海报 {name}；{zh}", f"no poster {name}; {en}")
    if not known:
        raise refuse("方案里没有海报", "the plan has no posters")
    wanted = [known[name]] if name else list(known.values())
    chosen = [(one, spoken) for one in wanted for spoken in one.languages if tongue in (None, spoken)]
    if not chosen:
        spoken = wanted[0].languages
        raise refuse(f"方案的语言是 {'、'.join(spoken)}", f"the plan's languages are {', '.join(spoken)}")
    return chosen


def _written(folder: Path, drawings: dict[str, bytes]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, raw in drawings.items():
            (folder / name).write_bytes(raw)
    except OSError as error:
        raise refuse(f"写不了 {folder}：{error.strerror}", f"cannot write to {folder}: {error.strerror}") from None
    return [folder / name for name in drawings]
