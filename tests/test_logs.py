"""The log in a process of its own: one JSON line per record, UTC times, and no canary in whatever way it is let out."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

import pytest

CANARIES = ('canary-Secret-1/+= "quoted"\\', "tok", "123456789:AAcanaryTELEGRAM", "canary口令")

SCRIPT = """
import logging, sys, warnings
from urllib.parse import quote
import structlog
from bot import logs

early = structlog.get_logger("early")
logs.protect({canaries!r})
logs.configure({json})
log = structlog.get_logger("bot.test")

for canary in {canaries!r}:
    log.info(f"event {{canary}} end", value=canary, nested={{"deep": [canary]}}, token=canary)
    early.warning("early %s", canary)
    logging.getLogger("uvicorn.error").error("stdlib %s", canary)
    logging.getLogger("wechatpy.client").warning({{"body": canary}})
    logging.getLogger("httpx").warning('HTTP Request: GET https://x/cgi?a=1&v=%s "200"', quote(canary, safe=""))
    try:
        local = canary
        raise ValueError(f"failed with {{canary}}")
    except ValueError:
        log.exception("caught", again=canary)
        logging.getLogger("bot").exception("caught too")
    warnings.warn(f"warned {{canary}}")
logging.getLogger("requests").warning("GET /cgi-bin/token?grant_type=x&appid=wx1&secret=UNKNOWN1&b=2")
logging.getLogger("requests").warning("POST /send?access_token=UNKNOWN2 HTTP/1.1")
logging.getLogger("requests").warning('got {{"access_token": "UNKNOWN3", "expires_in": 7200}}')
logging.getLogger("telegram").warning("POST https://api.telegram.org/bot42:UNKNOWN4/sendMessage")
log.info("signed", token="UNKNOWN5", secret="UNKNOWN6")
log.info("harmless", subscriber=17, words="积分 token tokens", at_line="two\\nlines")
log.debug("not shown")
"""


def run(json_lines: bool) -> str:
    script = SCRIPT.format(canaries=CANARIES, json=json_lines)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("json_lines", [True, False])
def test_no_canary_leaves(json_lines: bool) -> None:
    written = run(json_lines)
    assert "UNKNOWN" not in written
    for canary in ("canary", "caught tok", "event tok", "failed with tok", "warned tok", "stdlib tok"):
        assert canary not in written
    assert written.count("***") > 40
    assert "Traceback" in written and "ValueError" in written
    assert "appid=wx1" in written and "b=2" in written and "/sendMessage" in written
    assert "not shown" not in written


def test_every_record_is_one_json_line_in_utc() -> None:
    records = [json.loads(line) for line in run(True).splitlines()]
    assert len(records) > 30
    for record in records:
        assert datetime.fromisoformat(record["at"]).utcoffset().total_seconds() == 0
        assert {"event", "level", "logger"} <= record.keys()
    harmless = records[-1]
    assert harmless["event"] == "harmless"
    assert (harmless["subscriber"], harmless["words"], harmless["at_line"]) == (17, "积分 token tokens", "two\nlines")
