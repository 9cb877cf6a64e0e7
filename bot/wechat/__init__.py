"""What the WeChat channel is made of: the seal on callbacks, reading, rendering, the API client and its limits.

Knows the platform and nothing of people, points or campaigns; `bot/channels/wechat.py` puts it together.
"""
