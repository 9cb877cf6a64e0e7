"""A local Telegram: the Bot API as a real HTTP server for one bot, and people who start, write, tap, edit and block.

Speaks the real protocol with its limits, errors and retries; it is checked by client libraries that are not ours.
Knows nothing of the service it talks to but the webhook that the service registers, or that it polls.

    with PlayedTelegram(clock=..., seed=0) as world:     # or .start() -> url and .stop(); api_url is world.url
        ann = world.person(language_code="en")           # has not started the bot yet
        update = ann.start("r_CODE")                     # every act returns its update_id at once, from any thread
        await world.taken(update)                        # acknowledged: by 2xx, or by a getUpdates with a later offset
        shown = (await ann.wait_for(1))[0]               # Received: text, photo, keyboard, edits, deleted
        ann.tap("data or label")                         # of the newest message that has it; later ann.toasts

World: `url`, `token`, `username`, `webhook` (where deliveries really go; "" for the registered address), `local`
(False: only https and Telegram's ports), `hurry` (divides the platform's waits), `deadline`, `chat_per_second`,
`chat_burst`, `per_second`, `burst`, `asked` (calls by method), `faults`, `hook` (what setWebhook set), `commands`,
`person(id=0, language_code="zh-hans", first_name="", username="")`, `people`, `fail(method, times, ...)` (fields of
Trouble), `redeliver(update_id)`, `forget_answers(times)`, `jump(update_id=None)`, `taken(update_id, seconds)`,
`idle(seconds)`, `pending()`, `expired`, `files`.

Person: `start(payload)`, `open(link)`, `say(text)`, `tap(what, message_id=0)`, `edit(message_id, text)`,
`photo(content, caption)`, `voice()`, `location(latitude, longitude)`, `sticker(emoji)`, `contact(number)`, `block()`,
`unblock()`, `deactivate()`, `wait_for(count, seconds)`, `menu()`; `received`, `toasts`, `actions`, `keyboard`.
"""

from bot.played.telegram.people import Person, Received, Toast
from bot.played.telegram.platform import PlayedTelegram, Trouble

__all__ = ["Person", "PlayedTelegram", "Received", "Toast", "Trouble"]
