"""python-telegram-bot as it comes: `ptb_send.py URL TOKEN COUNT` sends so many texts with a keyboard, ten at a time.

Ten at a time is where its default client is cheapest. Prints microseconds of processor time and of the clock a message.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup


async def main(url: str, token: str, count: int) -> None:
    """Warm up, then measure."""
    buttons = [
        [InlineKeyboardButton("我的积分", callback_data="积分"), InlineKeyboardButton("菜单", callback_data="菜单")]
    ]
    async with Bot(token, base_url=f"{url}/bot") as bot:

        async def some(number: int) -> None:
            for place in range(number):
                await bot.send_message(
                    10_000 + place, "签到成功，得 5 积分。", reply_markup=InlineKeyboardMarkup(buttons)
                )

        await asyncio.gather(*(some(10) for _ in range(10)))
        processor, clock = time.process_time(), time.perf_counter()
        await asyncio.gather(*(some(count // 10) for _ in range(10)))
        spent, took = time.process_time() - processor, time.perf_counter() - clock
    sent = count // 10 * 10
    print(json.dumps({"cpu": 1e6 * spent / sent, "rate": sent / took}))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
