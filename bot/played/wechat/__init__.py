"""A local WeChat: the platform's API as a real HTTP server, and people who follow, write, tap and read.

Speaks the real protocol with its limits and errors, with a given clock and seed. Its envelope is wechatpy's, not ours,
so that each checks the other. Knows nothing of the service it talks to but the address of its webhook.
"""

from bot.played.wechat.people import Person, Received
from bot.played.wechat.platform import PlayedWeChat

__all__ = ["Person", "PlayedWeChat", "Received"]
