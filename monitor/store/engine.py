"""Opening the database: where it is, and how SQLite must be told to behave."""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from monitor.store.schema import StoreError, upgrade

BUSY_MS = 5000
"""How long a writer waits for another one before it gives up; every transaction here takes milliseconds."""
ADVICE = {
    "not a database": "move it away",
    "malformed": "move it away",
    "no such table": "move it away",
    "no such column": "move it away",
    "database is locked": "end the program that holds it, which fuser shows",
    "readonly database": "give this user the right to write it and its folder",
    "unable to open": "name a file in a folder that this user may write",
    "disk is full": "free some space",
    "disk I/O error": "see whether the disk is full or broken",
}
"""What to do about what SQLite says; choosing another place always helps, too."""
SERVER = "see that the database server runs and lets this user in"


def default_url(env: Mapping[str, str], uid: int) -> str:
    """Say where the store is when nobody chose: the same place from any working directory."""
    home = Path(env.get("HOME") or "/")
    state = Path(env.get("XDG_STATE_HOME") or ("/var/lib" if uid == 0 else home / ".local" / "state"))
    return f"sqlite:///{state / 'vllm-monitor' / 'monitor.db'}"


def connect(url: str) -> Engine:
    """Open the database and bring its schema up to date.

    Raises:
        StoreError: it cannot be opened, is no database, or is not ours; nothing in it was changed.
    """
    engine = unopened(url)
    try:
        _open(engine)
    except (SQLAlchemyError, sqlite3.Error, OSError, StoreError) as error:
        engine.dispose()
        raise StoreError(f"store {shown(engine)} cannot be used: {reason(error)}") from None
    return engine


def unopened(url: str) -> Engine:
    """Read what a URL means, and touch nothing; raises StoreError if it means nothing, or its driver is not here."""
    try:
        meant = make_url(url or default_url(os.environ, os.getuid()))
        if meant.get_backend_name() == "sqlite":
            _is_file(meant.database)
        return create_engine(meant)
    except ImportError as error:
        advice = "install that driver, or set another [store] url"
        raise StoreError(f"[store] url is not usable: {error}; {advice}") from None
    except ArgumentError as error:
        advice = "write it like sqlite:////var/lib/vllm-monitor/monitor.db"
        raise StoreError(f"[store] url is not usable: {error}; {advice}") from None
    except ValueError:  # its text may be a part of the password
        raise StoreError("[store] url is not usable: its port is not a number") from None


def _is_file(database: str | None) -> None:
    if database in {None, "", ":memory:"}:
        advice = "write it like sqlite:////var/lib/vllm-monitor/monitor.db"
        raise StoreError(f"[store] url is not usable: what is only in memory is lost; {advice}")
    with suppress(OSError):  # a folder that may not be looked into is told of when it is opened
        if Path(str(database)).is_dir():
            advice = "name a file in it, or set another [store] url"
            raise StoreError(f"[store] url is not usable: {database} is a folder; {advice}")


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Begin, and commit or roll back; raises StoreError for what the database cannot do or take (full disk, lock)."""
    try:
        with engine.begin() as connection:
            yield connection
    # Nobody wraps the refusal of a lone surrogate, nor what is said of JSON that is none.
    except (SQLAlchemyError, UnicodeError, json.JSONDecodeError) as error:
        raise StoreError(f"store {shown(engine)}: {reason(error)}") from None


def claim(path: Path) -> IO[str]:
    """Lock a file beside the database until it is closed; raises StoreError if another process holds it."""
    try:
        _make_file(path)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; make the folder writable, or set another [store] url") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise StoreError(f"another monitor serves on {path.stem}; stop it, or set another [store] url") from None
    return file


def reason(error: Exception) -> str:
    """Give an error's own words, without SQL and without parameters, and what to do where that is known."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}; set another [store] url, or mend that"
    words = " ".join(str(getattr(error, "orig", None) or error).split())
    advice = next((advice for said, advice in ADVICE.items() if said in words), "")
    if not advice and isinstance(error, OperationalError) and not isinstance(error.orig, sqlite3.Error):
        advice = SERVER
    return f"{words}; {advice}, or set another [store] url" if advice else words


def _open(engine: Engine) -> None:
    is_sqlite = engine.dialect.name == "sqlite"
    if is_sqlite:
        if engine.url.database:
            _make_file(Path(engine.url.database))
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
    with engine.begin() as connection:
        upgrade(connection)
    if is_sqlite:
        _use_wal(engine)


def _make_file(path: Path) -> None:
    """Make an empty file for the owner, and for the group where it may write the folder; SQLite keeps the rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.touch()
        path.chmod(0o600 | (path.parent.stat().st_mode & 0o060))


def shown(engine: Engine) -> str:
    """Name the database without its password."""
    return engine.url.set(query={}).render_as_string(hide_password=True)  # a query may hold a password, too


def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:  # noqa: ANN401 - SQLAlchemy's pool record
    # We begin transactions ourselves: pysqlite's own way commits before DDL, and a half-made schema would stay.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(engine: Engine) -> None:
    # Only now that the file is known to be ours: this is written into it.
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        raw.close()


def _on_begin(connection: Connection) -> None:
    # At once the writer's lock: a transaction that begins as a reader can be refused in its middle.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
