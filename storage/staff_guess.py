"""Limits on guessing passwords and codes, shared by all nodes: every try is counted before it is looked at.

Why the owner of a name gets in whatever others do, and why a guesser does not:
- Somebody on a **known device** (who entered from it before, and has its cookie) is counted by that device alone. No
  stranger can use up those tries.
- A **stranger** is counted by name and network together: `FREE` tries, then a pause that doubles up to 15 minutes.
  Nobody is ever shut out by what other networks do: a network that did not try this name yet has its first try at once.
- When many strangers failed at one name within an hour it is **beset**: then each network has one try, and one more in
  15 minutes. So 1,000 networks have some 1,000 real tries in a quarter of an hour, however fast they ask, at
  passwords that take far more; and the owner on a new device in a new network still needs only the right password.
- One network has so many tries at all names together, for which the tries that were right do not count.
What is left: a guesser in the owner's own network can use up that network's tries at their name; then a known device,
another network, or a reset by an administrator lets them in. A puzzle to be solved by the browser was left out: it
asks for scripts, and costs those who own many machines nothing.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from storage.store import machine_now

FREE = 5
PAUSE_SECONDS = 30
PAUSE_MAX_SECONDS = 900
BESET = 50
SOURCE_MOST = 40
_SECOND = 1_000_000
_HOUR = 3600


def member_key(number: int) -> str:
    """Under what guesses at a member's password are counted."""
    return f"member-{number}"


def wait(connection: Connection, name: str, source: str, device: str = "") -> float:
    """Seconds until this guesser's next try at `name` is heard; 0.0 now. Reads only, so that a flood costs no write.

    `device` is a known one's id: it is all that counts then.
    """
    now = machine_now(connection)
    keys = [f"device:{device}"] if device else [f"pair:{source}:{name}", f"source:{source}"]
    rows = connection.execute(
        text("SELECT MAX(open_at) FROM staff_guess WHERE until > :now AND key IN (:one, :two)"),
        {"now": now, "one": keys[0], "two": keys[-1]},
    ).scalar()
    return max(0.0, (int(rows or 0) - now) / _SECOND)


def admit(connection: Connection, name: str, source: str, device: str = "") -> float:
    """Count one try; 0.0 when it may be looked at, else the seconds until the next may, and nothing is counted."""
    if connection.dialect.name != "sqlite":  # two nodes must not both see the last free try
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7))")
        connection.execute(lock, {"name": device or f"{source}:{name}"})
    pause = wait(connection, name, source, device)
    if pause:
        return pause
    if device:
        _count(connection, f"device:{device}", FREE, _HOUR * 24)
        return 0.0
    beset = _count_name(connection, name)
    _count(connection, f"pair:{source}:{name}", 1 if beset else FREE, _HOUR * 24)
    _count_source(connection, source)
    return 0.0


def was_right(connection: Connection, name: str, source: str, device: str = "") -> None:
    """The try that was counted last was right: this guesser begins anew; others' failures stay counted."""
    keys = [f"device:{device}"] if device else [f"pair:{source}:{name}"]
    connection.execute(text("DELETE FROM staff_guess WHERE key = :key"), {"key": keys[0]})
    if not device:
        query = text("UPDATE staff_guess SET tries = tries - 1, open_at = 0 WHERE key IN (:one, :two) AND tries > 0")
        connection.execute(query, {"one": f"name:{name}", "two": f"source:{source}"})


def forget(connection: Connection, name: str) -> None:
    """Somebody in charge let this name in anew: what was counted against it is gone."""
    query = text("DELETE FROM staff_guess WHERE key = :name OR key LIKE :pairs")
    connection.execute(query, {"name": f"name:{name}", "pairs": f"pair:%:{name}"})


def clean(connection: Connection) -> int:
    """Take away what no longer counts; returns how many rows."""
    query = text("DELETE FROM staff_guess WHERE until <= :now")
    return connection.execute(query, {"now": machine_now(connection)}).rowcount


def _count(connection: Connection, key: str, free: int, seconds: int) -> None:
    """One more try under a key; beyond the free ones the next is heard only after a pause that doubles."""
    now = machine_now(connection)
    tries = _more(connection, key, now, seconds, renew=True)
    beyond = tries - free
    if beyond >= 0:
        pause = PAUSE_MAX_SECONDS if free == 1 else min(PAUSE_SECONDS * 2 ** min(beyond, 10), PAUSE_MAX_SECONDS)
        query = text("UPDATE staff_guess SET open_at = :open WHERE key = :key")
        connection.execute(query, {"open": now + pause * _SECOND, "key": key})


def _count_name(connection: Connection, name: str) -> bool:
    """One more stranger's try at a name within the hour; whether it is beset."""
    return _more(connection, f"name:{name}", machine_now(connection), _HOUR, renew=False) > BESET


def _count_source(connection: Connection, source: str) -> None:
    """One more try from a network; with the last one it is shut until its quarter of an hour is over."""
    key, now = f"source:{source}", machine_now(connection)
    if _more(connection, key, now, PAUSE_MAX_SECONDS, renew=False) >= SOURCE_MOST:
        connection.execute(text("UPDATE staff_guess SET open_at = until WHERE key = :key"), {"key": key})


def _more(connection: Connection, key: str, now: int, seconds: int, *, renew: bool) -> int:
    """Count one under a key that is forgotten after so many seconds, from the last try (`renew`) or from the first."""
    later = "excluded.until" if renew else "staff_guess.until"
    query = text(
        "INSERT INTO staff_guess (key, tries, open_at, until) VALUES (:key, 1, 0, :until) ON CONFLICT (key) DO UPDATE "
        "SET tries = CASE WHEN staff_guess.until <= :now THEN 1 ELSE staff_guess.tries + 1 END, "
        "open_at = CASE WHEN staff_guess.until <= :now THEN 0 ELSE staff_guess.open_at END, "
        f"until = CASE WHEN staff_guess.until <= :now THEN excluded.until ELSE {later} END RETURNING tries"
    )
    until = now + seconds * _SECOND
    return int(connection.execute(query, {"key": key, "now": now, "until": until}).scalar_one())
