"""Opening the database: where it is, what is refused and left as it was, and what happens when it is full."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from examples import AT, baseline, probe
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import SQLModel

from monitor import store as package
from monitor.model import Acceptance, Answer, Event, Probe
from monitor.store.baselines import Baselines
from monitor.store.engine import connect, default_url, reason, unopened
from monitor.store.history import History
from monitor.store.schema import StoreError
from monitor.store.store import Store
from monitor.tuning.change import Change

MIGRATIONS = Path(package.__path__[0]) / "migrations"
HEAD = "0004"
ACCEPTED = (Acceptance("llama", "vllm.version", "0.33", 9.0),)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = connect(url)
    try:
        yield engine
    finally:
        engine.dispose()


def refusal(url: str) -> str:
    with pytest.raises(StoreError) as caught:
        connect(url)
    return str(caught.value)


def run(file: Path, *statements: str) -> None:
    """Do something to a database as another program would."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def first_version(file: Path) -> None:
    """Make a store as the first version of the monitor left it: a baseline, a probe, and an open event."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as schema:
        config.attributes["connection"] = schema
        command.upgrade(config, "0001")
    engine.dispose()
    made, one = baseline(), probe()
    context, facts = made.context, made.facts
    stored = {"at": one.at, "profile": "short", "version": "1", "outcome": "ok", "before": None, "after": None}
    with closing(sqlite3.connect(file)) as connection, connection:
        whole = (made.name, context.model, context.endpoint, made.captured_at)
        connection.execute("INSERT INTO baseline VALUES (1, ?, ?, ?, ?, 1, 0)", whole)
        values = [(1, s.metric, s.stratum, *pair) for s in made.series for pair in zip(s.times, s.values, strict=True)]
        columns = "baseline_id, metric, stratum, at, value"
        connection.executemany(f"INSERT INTO baseline_value ({columns}) VALUES (?, ?, ?, ?, ?)", values)  # noqa: S608 - our own names
        kept = [(1, fact.name, fact.value, fact.path, fact.why) for fact in facts]
        columns = "baseline_id, fact, value, path, why"
        connection.executemany(f"INSERT INTO baseline_fact ({columns}) VALUES (?, ?, ?, ?, ?)", kept)  # noqa: S608 - our own names
        connection.execute("INSERT INTO probe VALUES (1, 'llama', ?, ?)", (AT, json.dumps({**stored, "itls": []})))
        connection.execute("INSERT INTO fact_change VALUES (1, 'llama', 'vllm.version', 1.0, '0.32', '0.33', 0)")
        connection.execute("INSERT INTO event VALUES (1, 'http://vllm:8000', 'capture', 1.0, 9.0, '')")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("env", "uid", "path"),
    [
        ({"HOME": "/root"}, 0, "/var/lib/vllm-monitor/monitor.db"),
        ({"HOME": "/home/ann"}, 1000, "/home/ann/.local/state/vllm-monitor/monitor.db"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "/state"}, 1000, "/state/vllm-monitor/monitor.db"),
        ({"XDG_STATE_HOME": "/state"}, 0, "/state/vllm-monitor/monitor.db"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": ""}, 1000, "/home/ann/.local/state/vllm-monitor/monitor.db"),
        ({}, 1000, "/.local/state/vllm-monitor/monitor.db"),
    ],
)
def test_default_place(env: dict[str, str], uid: int, path: str) -> None:
    """Root's store is in /var/lib, a user's in their state folder, and XDG_STATE_HOME moves both."""
    assert f"sqlite:///{path}" == default_url(env, uid)


def test_folders_are_made(tmp_path: Path) -> None:
    """The folders of a database file are made when it is first opened."""
    with opened(f"sqlite:///{tmp_path}/a/b/monitor.db"):
        pass

    assert {"monitor.db"} == set(contents(tmp_path / "a" / "b"))


def test_migrations_make_the_tables_of_the_models(tmp_path: Path) -> None:
    """A freshly migrated database differs in nothing from what the models ask for."""
    with opened(f"sqlite:///{tmp_path}/monitor.db") as engine, engine.begin() as connection:
        found = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)

    assert [] == found


def test_a_store_of_the_first_version(tmp_path: Path) -> None:
    """A store that the first version made is upgraded with all it holds, and keeps answers and acceptances then."""
    file = tmp_path / "monitor.db"
    first_version(file)
    answered = baseline("answered", answers=(Answer("short", "1", "5f1d", (7, 8), ""),))
    with closing(Store(f"sqlite:///{file}")) as store:
        assert baseline() == store.baselines.active("http://vllm:8000")
        assert (Probe(AT, "short", "1", "ok"),) == store.history.probes("llama", AT)
        assert (Event("capture", 1.0, 9.0),) == store.history.events("http://vllm:8000", 0.0)
        assert (Change("vllm.version", "0.32", "0.33", 1.0),) == store.history.past("llama").recent
        assert ACCEPTED == store.history.accept(["llama"], "vllm.version", 9.0)
        store.baselines.save(answered)
        assert answered == store.baselines.active("http://vllm:8000")

    with closing(sqlite3.connect(file)) as connection:
        assert [(HEAD,)] == connection.execute("SELECT version_num FROM alembic_version").fetchall()


def test_an_upgraded_store_has_the_tables_of_the_models(tmp_path: Path) -> None:
    """A store that the first version made ends with the very tables that a fresh one has."""
    first_version(tmp_path / "monitor.db")
    with opened(f"sqlite:///{tmp_path}/monitor.db") as engine, engine.begin() as connection:
        found = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)

    assert [] == found


def test_reopening_changes_nothing(tmp_path: Path) -> None:
    """Opening a store that is up to date writes nothing."""
    file = tmp_path / "monitor.db"
    Store(f"sqlite:///{file}").close()
    before = contents(tmp_path)

    Store(f"sqlite:///{file}").close()

    assert before == contents(tmp_path)


def test_sqlite_is_told_how_to_behave(tmp_path: Path) -> None:
    """Every connection waits for other writers, heeds foreign keys, and logs ahead."""
    names = ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
    with opened(f"sqlite:///{tmp_path}/monitor.db") as engine, engine.connect() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert ["wal", 5000, 1, 1] == found


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///FOLDER"])
def test_a_store_is_a_file(tmp_path: Path, url: str) -> None:
    """What would be lost, or cannot be a file, is refused before anything is opened."""
    with pytest.raises(StoreError, match=r"^\[store\] url is not usable: .*(in memory|folder)"):
        unopened(url.replace("FOLDER", str(tmp_path)))


def test_a_text_is_no_database(tmp_path: Path) -> None:
    """A file that is no database is refused and stays as it was."""
    file = tmp_path / "notes.txt"
    file.write_text("These are my notes, and they are longer than the header of a database.\n" * 20)
    before = contents(tmp_path)

    advice = "file is not a database; move it away, or set another [store] url"
    assert f"store sqlite:///{file} cannot be used: {advice}" == refusal(f"sqlite:///{file}")
    assert before == contents(tmp_path)


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_another_programs_database(tmp_path: Path, journal: str) -> None:
    """Another program's database is refused, and neither it nor its folder is touched."""
    file = tmp_path / "songs.db"
    run(file, f"PRAGMA journal_mode = {journal}", "CREATE TABLE song (title TEXT)", "INSERT INTO song VALUES ('x')")
    before = contents(tmp_path)

    text = refusal(f"sqlite:///{file}")

    assert f"store sqlite:///{file} cannot be used: it is another program's database; set another [store] url" == text
    assert before == contents(tmp_path)


def test_a_newer_monitors_database(tmp_path: Path) -> None:
    """A schema from a newer monitor is refused and left as it was."""
    file = tmp_path / "monitor.db"
    Store(f"sqlite:///{file}").close()
    run(file, "UPDATE alembic_version SET version_num = '9999'")
    before = contents(tmp_path)

    text = refusal(f"sqlite:///{file}")

    wanted = "its schema 9999 is from a newer monitor; upgrade this one, or set another [store] url"
    assert f"store sqlite:///{file} cannot be used: {wanted}" == text
    assert before == contents(tmp_path)


def test_a_failed_migration_leaves_nothing(tmp_path: Path) -> None:
    """A schema is made wholly or not at all."""
    file = tmp_path / "monitor.db"
    run(file, "CREATE VIEW baseline_value AS SELECT 1")
    before = contents(tmp_path)

    assert refusal(f"sqlite:///{file}").startswith(f"store sqlite:///{file} cannot be used: ")
    assert before == contents(tmp_path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A place where no file can be made is refused in one line that names it."""
    (tmp_path / "file").write_text("not a folder")
    url = f"sqlite:///{tmp_path}/file/monitor.db"

    text = refusal(url)

    assert text.startswith(f"store {url} cannot be used: ")
    assert 1 == len(text.splitlines())


def test_a_failed_upgrade_leaves_the_version_before(tmp_path: Path) -> None:
    """A store that cannot be upgraded stays what it was, whole and readable by the version that made it."""
    file = tmp_path / "monitor.db"
    first_version(file)
    run(file, "CREATE VIEW baseline_answer AS SELECT 1")
    before = contents(tmp_path)

    assert "already" in refusal(f"sqlite:///{file}")
    assert before == contents(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "user:secret@host",
        "magic://user:secret@host/monitor",
        "postgresql://user:secret",
        "postgresql://user:secret@host:port/monitor",
        "postgresql+nothing://user:secret@host/monitor",
        "oracle://user:secret@host/monitor",
    ],
)
def test_an_unusable_url(url: str) -> None:
    """A url that nothing can be opened with is refused in one line, which never tells what may be a password."""
    text = refusal(url)

    assert text.startswith("[store] url is not usable: ")
    assert "secret" not in text
    assert 1 == len(text.splitlines())


def test_what_a_database_server_says() -> None:
    """What a driver says on several lines is one, with what to do: only where the server itself is in the way."""
    away = OperationalError("SELECT 1", {}, Exception("connection refused\n\tIs the server running?"))
    taken = IntegrityError("INSERT", {}, Exception("duplicate key"))

    advice = "see that the database server runs and lets this user in, or set another [store] url"
    assert f"connection refused Is the server running?; {advice}" == reason(away)
    assert "duplicate key" == reason(taken)


OPEN = """
import sys
from monitor.store.store import Store
print("ready", flush=True)
sys.stdin.readline()
store = Store(sys.argv[1])
store.history.hold(sys.argv[2], "capture", 1.0, 2.0)
store.close()
"""


def test_two_processes_open_a_fresh_store(tmp_path: Path) -> None:
    """Processes that open the same new store at the same moment all succeed, and lose nothing of each other."""
    url = f"sqlite:///{tmp_path}/monitor.db"
    command = [sys.executable, "-W", "error", "-c", OPEN, url]
    pipe = subprocess.PIPE
    names = ("a", "b", "c")
    processes = [subprocess.Popen([*command, name], stdin=pipe, stdout=pipe, stderr=pipe) for name in names]  # noqa: S603 - our own interpreter
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
    ends = [(process.communicate(timeout=30)[1].decode(), process.returncode) for process in processes]

    assert [("", 0)] * 3 == ends
    with closing(sqlite3.connect(tmp_path / "monitor.db")) as connection:
        assert [("a",), ("b",), ("c",)] == connection.execute("SELECT scope FROM event ORDER BY scope").fetchall()
        assert [(HEAD,)] == connection.execute("SELECT version_num FROM alembic_version").fetchall()


def test_a_full_disk(tmp_path: Path) -> None:
    """When the disk is full, what cannot be kept is a StoreError; what was kept stays, and space mends it."""
    file = tmp_path / "monitor.db"
    with opened(f"sqlite:///{file}") as engine:
        history = History(engine)
        history.remember("llama", [probe()], ())
        Baselines(engine).save(baseline())
        most = _limit(engine, 1)  # as small as what is there already
        flood = [probe(at=AT + 1 + number) for number in range(1000)]

        with pytest.raises(StoreError, match=r"^store sqlite:///.*\.db: database or disk is full; free some space"):
            history.remember("llama", flood, ())

        assert (probe(),) == history.probes("llama", AT)
        assert baseline() == Baselines(engine).get("good-day")
        _limit(engine, most + 10_000)
        history.remember("llama", flood, ())

        assert (probe(), *flood) == history.probes("llama", AT)


def _limit(engine: Engine, pages: int) -> int:
    """Bound the size of the database; give the bound that SQLite took."""
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar_one())


def test_a_locked_store(tmp_path: Path) -> None:
    """A store that another process holds for too long is a StoreError, and usable again afterwards."""
    file = tmp_path / "monitor.db"
    with opened(f"sqlite:///{file}") as engine, closing(sqlite3.connect(file, isolation_level=None)) as other:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 1")
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreError, match="database is locked"):
            History(engine).remember("llama", [probe()], ())

        other.execute("ROLLBACK")
        History(engine).remember("llama", [probe()], ())

        assert (probe(),) == History(engine).probes("llama", AT)
