"""The database: whether it answers, is of our schema, keeps what it acknowledged, and is opened by our secret."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from bot.doctor import Finding, Look, fault, ok, reach, warning
from bot.schedule import SLOT_STALE_SECONDS
from storage import health, schema
from storage.store import DatabaseFault, Store, sqlite_release
from storage.vault import SecretMissing, Vault, secret_for

_OLDEST = 13  # pg_current_xact_id came with it
_WAITING_MOST = 5_000  # sealed within seconds on any machine that keeps up
# A setting of PostgreSQL, what it must be, and what follows from anything else.
_MUST = {
    "fsync": (("on",), "断电会损坏数据库", "a power cut damages the database", "fault"),
    "full_page_writes": (("on",), "断电会损坏数据页", "a power cut damages pages", "fault"),
    "synchronous_commit": (
        ("on", "local", "remote_write", "remote_apply"),
        "断电会丢掉已经确认的消息",
        "a power cut loses messages that were acknowledged",
        "fault",
    ),
    "server_encoding": (("UTF8",), "存不下中文", "Chinese cannot be stored", "fault"),
    "default_transaction_isolation": (
        ("read committed",),
        "每条消息都可能因冲突重做",
        "every message may have to be done again",
        "fault",
    ),
    "default_transaction_read_only": (("off",), "什么都写不进去", "nothing can be written", "fault"),
    "autovacuum": (("on",), "表会一直变大变慢", "tables grow and slow down without end", "warning"),
}
# What our own connections ask for; a pooler in between may drop it.
_ASKED = {"TimeZone": "UTC", "idle_in_transaction_session_timeout": "2000", "lock_timeout": "500"}


def database(look: Look) -> Iterator[Finding]:
    """Everything about the database but the chain."""
    where = look.where("storage", "url")
    store = health.looking(look.settings.storage.url, look.seconds)
    try:
        if store.path and not store.path.exists():
            yield ok("还没有数据库；koukou serve 第一次启动时建立", "no database yet; the first koukou serve makes it")
            yield from _release()
            return
        try:
            yield from _sqlite(store) if store.is_sqlite else _postgres(look, store, where)
            yield from _schema(store)
            yield from _secret(look, store)
        except DatabaseFault as broken:
            yield _unanswered(broken, where)
        except TypeError:  # the driver gives bytes for texts of a database without an encoding
            yield from _wrong({"server_encoding": "SQL_ASCII"})
    finally:
        store.close()


def _unanswered(broken: DatabaseFault, where: str) -> Finding:
    why = str(broken.orig).strip().splitlines()[0][:200] if broken.orig else type(broken).__name__
    return fault(
        f"数据库没有回应（{why}）",
        f"the database does not answer ({why})",
        "检查它是否在运行、地址和口令、pg_hba.conf 与防火墙；SQLite 检查文件权限",
        "see that it runs; look at address, password, pg_hba.conf and firewall, or at the file's mode on SQLite",
        where,
    )


def _release() -> Iterator[Finding]:
    release, safe = sqlite_release()
    name = "SQLite " + ".".join(map(str, release))
    if not safe:
        yield warning(
            f"{name} 的 WAL 有会丢数据的缺陷",
            f"{name} has a WAL bug that can lose data",
            "用 3.51.3 以上：在有轮子的平台上 make install 会装好",
            "use 3.51.3 or newer: make install brings one where there is a wheel of it",
        )
    else:
        yield ok(name, name)


def _sqlite(store: Store) -> Iterator[Finding]:
    yield from _release()
    with store.read() as connection:
        mode = health.journal_mode(connection)
        alive = health.nodes(connection, SLOT_STALE_SECONDS) if schema.version(connection) else 0
    if mode != "wal":
        yield fault(
            f"日志模式是 {mode}，不是 wal：读和写会互相等待",
            f"the journal mode is {mode}, not wal: readers and the writer wait for each other",
            "让 koukou serve 打开一次；文件系统不支持 WAL 时换到本地磁盘",
            "let koukou serve open it once; where the file system has no WAL, move to a local disk",
        )
    yield _serving(alive)


def _serving(alive: int) -> Finding:
    if alive:
        return ok(f"{alive} 个服务进程在运行", f"serving processes alive: {alive}")
    return warning(
        "没有服务进程在运行",
        "no serving process is alive",
        "启动服务：koukou serve（或 systemctl start koukou）",
        "start it: koukou serve (or systemctl start koukou)",
    )


def _postgres(look: Look, store: Store, where: str) -> Iterator[Finding]:
    began = time.monotonic()
    with store.read() as connection:
        theirs = health.machine_now(connection)
        took = time.monotonic() - began
        had = health.settings(connection)
        used = health.connections(connection)
        alive = health.nodes(connection, SLOT_STALE_SECONDS) if schema.version(connection) else 0
    release = had["server_version"].split()[0]
    if int(had["server_version_num"]) < _OLDEST * 10_000:
        mend = f"升级到 PostgreSQL {_OLDEST} 以上", f"upgrade to PostgreSQL {_OLDEST} or newer"
        yield fault(f"PostgreSQL {release} 太旧", f"PostgreSQL {release} is too old", *mend, where)
    else:
        yield ok(f"PostgreSQL {release}", f"PostgreSQL {release}")
    if had["in_recovery"] == "t":
        mend = "storage.url 要指向主库", "point storage.url at the primary"
        yield fault("这是只读的备库", "this is a standby, which takes no writes", *mend, where)
    yield from _wrong(had)
    lost = [name for name, value in _ASKED.items() if had[name] != value]
    if lost:
        names = ", ".join(lost)
        yield fault(
            f"会话设置没有生效：{names}；中间有连接池（如事务模式的 pgbouncer）？",
            f"settings of the session do not arrive: {names}; is there a pooler (pgbouncer by transaction) in between?",
            "直接连数据库，或把连接池设为会话模式并放行 options",
            "connect to the database itself, or pool by session and let options through",
            where,
        )
    yield from _room(had, used, alive)
    yield _serving(alive)
    server = datetime.fromtimestamp(theirs / 1_000_000, UTC)
    yield from reach.clock(look, "PostgreSQL", server, took, blur=0.0)


def _wrong(had: dict[str, str]) -> Iterator[Finding]:
    for name, (good, zh, en, severity) in _MUST.items():
        if had.get(name, good[0]) not in good:
            how = f"ALTER SYSTEM SET {name} = '{good[0]}'; SELECT pg_reload_conf();"
            if name == "server_encoding":
                how = "CREATE DATABASE koukou ENCODING 'UTF8' TEMPLATE template0"
            make = fault if severity == "fault" else warning
            yield make(f"{name} = {had[name]}：{zh}", f"{name} = {had[name]}: {en}", how, how)


def _room(had: dict[str, str], used: int, alive: int) -> Iterator[Finding]:
    most = int(had["max_connections"]) - int(had["superuser_reserved_connections"])
    wanted = max(1, alive) * health.CONNECTIONS_PER_NODE
    if most < wanted:
        yield fault(
            f"max_connections 只容 {most} 个连接，{max(1, alive)} 个节点要 {wanted} 个",
            f"max_connections leaves room for {most}; {max(1, alive)} nodes want {wanted}",
            f"ALTER SYSTEM SET max_connections = {wanted + 20}，然后重启 PostgreSQL",
            f"ALTER SYSTEM SET max_connections = {wanted + 20}, then restart PostgreSQL",
        )
    elif most - used < health.CONNECTIONS_PER_NODE:
        yield warning(
            f"只剩 {most - used} 个空闲连接，容不下再一个节点（要 {health.CONNECTIONS_PER_NODE} 个）",
            f"only {most - used} connections are free, too few for another node ({health.CONNECTIONS_PER_NODE} each)",
            "调大 max_connections，或找出谁占着：SELECT usename, count(*) FROM pg_stat_activity GROUP BY 1",
            "raise max_connections, or see who has them: SELECT usename, count(*) FROM pg_stat_activity GROUP BY 1",
        )
    else:
        yield ok(
            f"连接数 {used} / {most}，每个节点最多 {health.CONNECTIONS_PER_NODE} 个",
            f"connections {used} of {most}; a node takes {health.CONNECTIONS_PER_NODE} at most",
        )


def _schema(store: Store) -> Iterator[Finding]:
    try:
        schema.require_current(store)
    except schema.SchemaTooNew as wrong:
        yield fault(
            f"数据库比这个版本新：{wrong}",
            f"the database is newer than this version: {wrong}",
            "换回升级数据库的那个版本，或恢复升级前的备份",
            "run the version that upgraded it, or restore the backup made before",
        )
    except schema.SchemaBehind as wrong:
        make = warning if store.is_sqlite else fault
        yield make(f"数据库还没有升级：{wrong}", f"not upgraded yet: {wrong}", "koukou db upgrade", "koukou db upgrade")
    else:
        yield ok(f"表结构是 {schema.head()}", f"the schema is at {schema.head()}")


def _vault(look: Look, store: Store) -> Vault:
    secret = look.settings.storage.secret
    configured = secret.get_secret_value() if secret else None
    if configured is None and store.path and not store.path.with_name(store.path.name + ".key").exists():
        # Asked for, it would be made: a check writes nothing.
        raise SecretMissing(f"{store.path.name}.key 不在数据库旁 | {store.path.name}.key is not beside the database")
    return Vault(secret_for(store, configured))


def _secret(look: Look, store: Store) -> Iterator[Finding]:
    where = look.where("storage", "secret")
    try:
        vault = _vault(look, store)
    except SecretMissing as missing:
        zh, _, en = str(missing).partition(" | ")
        mend = (
            "从备份恢复密钥；没有它，加密的内容永远读不出来",
            "restore it from the backup: nothing encrypted opens without",
        )
        yield fault(zh, en or zh, *mend, where)
        return
    with store.read() as connection:
        if schema.version(connection) is None or health.opens(connection, vault):
            yield ok("密钥打得开这个数据库", "the secret opens this database")
            return
    yield fault(
        "storage.secret 不是这个数据库的密钥：谁也认不出来，已有的链也接不上",
        "storage.secret is not this database's: nobody is recognised, and the chain breaks",
        "停下服务，换回原来的密钥再启动",
        "stop the service and put the former secret back before it starts",
        where,
    )


def sealing(look: Look) -> Iterator[Finding]:
    """How far the sealer has come, and whether it keeps up."""
    store = health.looking(look.settings.storage.url, look.seconds)
    try:
        if store.path and not store.path.exists():
            return
        with store.read() as connection:
            if schema.version(connection) is None:
                return
            number, mac, waiting = health.seals(connection, _WAITING_MOST + 1)
            alive = health.nodes(connection, SLOT_STALE_SECONDS)
    except DatabaseFault:
        return  # said by the check of the database
    finally:
        store.close()
    head = f"{number}:{mac}" if number else "0"
    if alive and waiting > _WAITING_MOST:
        yield warning(
            f"链落后了：还有 {waiting} 条以上没有封存",
            f"the chain is behind: more than {waiting} entries wait to be sealed",
            "看日志里的 tick_broke；是否有长时间不结束的事务（pg_stat_activity）",
            "look for tick_broke in the log, and for transactions that do not end (pg_stat_activity)",
        )
    else:
        yield ok(f"链头 {head}，{waiting} 条待封存", f"the chain's head is {head}; {waiting} entries wait")
