"""aiogram's dispatcher behind its own webhook server, without storage, run inside the peers' environment.

`aiogram_echo.py PORT`: the same words back, as the response to the webhook, which costs it no request of its own.
"""

from __future__ import annotations

import os
import sys

from aiogram import Bot, Dispatcher
from aiogram.types import Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web

dispatcher = Dispatcher()


@dispatcher.message()
async def echo(message: Message):
    """The same words back."""
    return message.answer(message.text or "")


bot = Bot(os.environ["PEER_TOKEN"])
app = web.Application()
SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token=os.environ["PEER_SECRET"]).register(
    app, path="/telegram"
)
setup_application(app, dispatcher, bot=bot)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
