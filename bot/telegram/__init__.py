"""What the Telegram channel is made of: reading updates, rendering messages, the client, the door and the poll.

Only `sending`, `account`, `polling`, `request` and `faults` load the vendor's library, and they are imported on first
use. Nothing here decides about people, points or campaigns. Platform rules: docs/telegram.md.
"""
