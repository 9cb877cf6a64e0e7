"""WeRoBot's echo as its own documentation writes it, run inside the peers' environment: `echo.py PORT SESSION`.

With SESSION 1 it keeps WeRoBot's default session (SQLite, in the working folder), with 0 none at all.
"""

from __future__ import annotations

import os
import sys

from werobot import WeRoBot

port, session = int(sys.argv[1]), sys.argv[2] == "1"
robot = WeRoBot(token=os.environ["PEER_TOKEN"])
robot.config.update(
    APP_ID=os.environ["PEER_APP_ID"],
    ENCODING_AES_KEY=os.environ["PEER_AES_KEY"],
    HOST="127.0.0.1",
    PORT=port,
)
if not session:
    robot.config["SESSION_STORAGE"] = False


@robot.text
def echo(message):
    """The same words back."""
    return message.content


robot.run(enable_pretty_logging=False)
