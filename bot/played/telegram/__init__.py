"""A local Telegram: the Bot API as a real HTTP server for one bot, and people who start, write, tap, edit and block.

Speaks the real protocol with its limits, errors and retries; it is checked by client libraries that are not ours.
Knows nothing of the service it talks to but the webhook that the service registers, or that it polls.

    with PlayedTelegram(clock=..., seed=0) as world:     # or .start() -> url and .stop(); api_url is world.url
        ann = world.person(language_code="en")           # has not started the bot yet
        update = ann.start("r_CODE")                     # every act returns its update_id at once, from any thread
        await world.taken(update)                        # acknowledged: by 2xx, or by a getUpdates with a later offset
        shown = (await ann.wait_for(1))[0]               # Received: text, photo, keyboard, edits, deleted
        ann.tap("data or label")                         # of the newest message that has it; later ann.toasts

Played: getMe, getUpdates, setWebhook, deleteWebhook, getWebhookInfo, sendMessage, sendPhoto, sendPoll, editMessageText,
editMessageCaption, editMessageMedia, editMessageReplyMarkup, deleteMessage, answerCallbackQuery, sendChatAction,
getChat and getChatMember (of channels, about the bot itself), setMyCommands, getMyCommands, deleteMyCommands, getFile
and its download. Not played: groups, polls that are no quiz, Markdown, pictures by address, a form as the webhook's
answer.

World, to set: `token`, `username`, `name`, `clock` (dates and lifetimes), `machine` (seconds of rates and waits),
`seed`, `webhook` (where deliveries really go; "" for the registered address), `local` (False: only https and
Telegram's ports), `hurry` (divides the platform's waits), `deadline` (seconds a webhook may take), `chat_per_second`,
`chat_burst`, `channel_per_minute`, `per_second`, `burst`. To see: `url`, `id`, `asked` (calls by method), `faults`,
`hook`, `commands`, `people`, `channels`, `files`, `polls`, `queries`, `expired`, `pending() -> list[int]`.
To do: `person(id=0, language_code="zh-hans", first_name="小明", username="")`, `channel(title, username="")`,
`fail(method, times=1, **Trouble)`,
`redeliver(update_id)`, `forget_answers(times)`, `jump(update_id=None)`, `await taken(update_id, seconds=10)`,
`await idle(seconds=10)`.

Trouble: `code`, `description`, `retry_after`, `migrate_to_chat_id`, `chat`, `delay`, `drop`, `accept`, `html`; a lost
reply is `fail("sendMessage", drop=True, accept=True)`.

Person: `start(payload="")`, `open(link)`, `say(text)`, `tap(what, message_id=0)`, `press(data, message)`,
`vote(option, poll="")`, `edit(message_id, text)`, `photo(content, caption="")`, `voice()`,
`location(latitude, longitude)`, `sticker(emoji)`, `contact(number, of=None)`, `block()`, `unblock()`, `deactivate()`,
`menu()`, `await wait_for(count, seconds=10)`; `received`, `toasts` (text, alert, url), `actions`, `keyboard`, `known`,
`blocked`.

Channel: `promote(by, may_post=True)`, `demote(by)`, `kick(by)`; `received`, `status`.

Received: `message_id`, `kind` (`text`, `photo` or `poll`), `text` (or caption, or question), `options`, `photo`
(bytes), `file_id`, `keyboard` (rows of buttons), `edits`, `versions`, `deleted`, `at`, `message` (as JSON).
"""

from bot.played.telegram.channels import Channel
from bot.played.telegram.people import Person, Received, Toast
from bot.played.telegram.platform import PlayedTelegram, Trouble

__all__ = ["Channel", "Person", "PlayedTelegram", "Received", "Toast", "Trouble"]
