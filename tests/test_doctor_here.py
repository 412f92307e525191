"""What the doctor says of the machine: the store, the address to serve on, sinks, descriptors, the time."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from examples import AT, probe
from pydantic import SecretStr
from routes import answer, listening

from monitor.cli.app import app
from monitor.doctor import Check, here
from monitor.doctor.here import Machine, Stored
from monitor.settings import Alert, Settings, Sink, StoreSettings, Target, Tuning
from monitor.store.outbox import Outgoing
from monitor.store.store import Store

GOOD_STORE = Check("store", works=True, says="in memory")
GOOD = Machine(contained=False, docker=False, descriptors=1024, now=AT)


def settings(file: Path, paging: str = "on") -> Settings:
    return Settings(
        target={"llama": Target(url="http://127.0.0.1:9")},
        alert=Alert.model_validate({"paging": paging, "sink": {"team": Sink.model_validate({"kind": "log"})}}),
        store=StoreSettings.model_validate({"url": f"sqlite:///{file}"}),
    )


def run(statement: str) -> Callable[[Path], None]:
    """Do something to a store as another program would."""

    def change(file: Path) -> None:
        Store(f"sqlite:///{file}").close()
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(statement)

    return change


def scribble(file: Path) -> None:
    file.write_text("no database at all, but long enough to be read as one" * 20)


def spoil(file: Path) -> None:
    """Keep a message, and make its JSON unreadable."""
    store = Store(f"sqlite:///{file}")
    store.outbox.settle("llama", (), (Outgoing("team", {"text": "x"}, shadow=False),), AT)
    store.close()
    run("UPDATE delivery SET message = '{'")(file)


BROKEN: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "newer": (run("UPDATE alembic_version SET version_num = '9999'"), "is from a newer monitor", "upgrade this one"),
    "older": (run("ALTER TABLE baseline DROP COLUMN provisional"), "no such column", "move it away"),
    "partly": (run("DROP TABLE baseline"), "no such table", "move it away"),
    "text": (scribble, "file is not a database", "move it away"),
    "folder": (Path.mkdir, "is a folder", "name a file in it"),
    "spoilt": (spoil, "Expecting property name", "mend that"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_store_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    """A store of another version, a broken one, or none at all is one line, with what to do about it."""
    change, says, add = BROKEN[name]
    change(tmp_path / "m.db")

    check = here.store(settings(tmp_path / "m.db"), AT).check

    assert ("store", False) == (check.name, check.works)
    assert says in check.says
    assert check.add.startswith(add)
    assert check.add.endswith("or set another [store] url")
    assert 1 == len(check.says.splitlines())


@pytest.mark.parametrize(
    ("url", "add"),
    [
        ("nonsense", "write it like sqlite:////var/lib/vllm-monitor/monitor.db"),
        ("oracle://user:secret@host/monitor", "install that driver, or set another [store] url"),
    ],
)
def test_a_store_elsewhere(url: str, add: str) -> None:
    """A url that cannot be used, or whose driver is not here, says what to do, and never the password."""
    chosen = Settings(store=StoreSettings.model_validate({"url": url}))

    check = here.store(chosen, AT).check

    assert (False, add) == (check.works, check.add)
    assert "secret" not in check.says


def test_a_store_that_works(tmp_path: Path) -> None:
    """A store is told with where it is and what it keeps."""
    assert Check("store", True, f"{tmp_path}/m.db, 0 baselines") == here.store(settings(tmp_path / "m.db"), AT).check


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store on a disk with little room left is about to be in trouble."""
    monkeypatch.setattr(here, "LITTLE_SPACE", 2**80)

    check = here.store(settings(tmp_path / "m.db"), AT).check

    assert (False, "free some disk space") == (check.works, check.add)
    assert check.says.endswith(" MiB free")


def test_the_clock(tmp_path: Path) -> None:
    """A clock that was never set, or was set back behind what is stored, is told."""
    store = Store(f"sqlite:///{tmp_path / 'm.db'}")
    store.history.remember("llama", [probe(at=AT)], ())
    store.close()
    chosen = settings(tmp_path / "m.db")
    known = {now: here.store(chosen, now).future for now in (0.0, AT - 3600, AT)}

    assert {0.0: True, AT - 3600: True, AT: False} == known
    assert [False, False, True] == [here.clock(now, future=future).works for now, future in known.items()]
    assert "it says 1970-01-01 00:00:00 UTC" == here.clock(0.0, future=False).says
    assert here.clock(AT, future=True).says.endswith("what the store holds is later: it was set back")


def test_descriptors() -> None:
    """Too few open files are told with how to allow more."""
    add = "ulimit -n 256, or LimitNOFILE= in the unit"

    assert Check("files", False, "only 64 may be open at once", add) == here.descriptors(64)
    assert Check("files", True, "inf may be open at once") == here.descriptors(float("inf"))


def test_rules(tmp_path: Path) -> None:
    """Rules that cannot be read are told with their file; else how many there are."""
    (tmp_path / "own.toml").write_text("[rule.mine]\nfakt = 'x'\n")
    own = here.rules(Settings(tuning=Tuning(rules_dir=str(tmp_path))))
    ours = here.rules(Settings())

    assert (False, "correct that file, or [tuning]") == (own.works, own.add)
    assert f"{tmp_path}/own.toml: " in own.says
    assert 1 == len(own.says.splitlines())
    assert (True, True) == (ours.works, ours.says.endswith(" tuning rules in force"))


async def test_an_address_that_is_free() -> None:
    """An address that can be had is told so, and let go of."""
    first, second = await here.web("127.0.0.1:0"), await here.web("127.0.0.1:0")

    assert Check("web", True, "127.0.0.1:0 can be served on") == first == second


async def test_an_address_that_is_taken() -> None:
    """An address where another program listens is told; where a monitor serves, all is well."""
    async with listening({"/metrics": answer(b"up 1\n")}) as host:
        taken = await here.web(host)
    async with listening({"/metrics": answer(b'vllm_monitor_build_info{version="1"} 1\n')}) as host:
        ours, everywhere = await here.web(host), await here.web(f"0.0.0.0:{host.partition(':')[2]}")

    assert (False, "choose another address") == (taken.works, taken.add)
    assert taken.says.endswith(": Address already in use")
    assert [True, True] == [ours.works, everywhere.works]
    assert f"{host}: a monitor serves here now" == ours.says


async def test_an_address_that_is_none() -> None:
    """What is no address is told with what one looks like."""
    assert Check("web", False, "--web.listen-address here:²: write it like 127.0.0.1:9877") == await here.web("here:²")


def test_the_docker_socket() -> None:
    """A container that holds the host's docker socket holds more than it needs; on the host it is nobody's business."""
    contained = Machine(contained=True, docker=True, descriptors=1024, now=AT)

    assert [None] == [check.works for check in here.docker_socket(contained)]
    assert [] == here.docker_socket(GOOD)


def test_sinks(tmp_path: Path) -> None:
    """What is told to whom is said by what is set, and by what failed to be delivered: nothing is sent."""
    file = tmp_path / "m.db"
    chosen = settings(file)
    store = Store(f"sqlite:///{file}")
    store.outbox.settle("llama", (), [Outgoing("team", {"text": text}, shadow=False) for text in "xy"], AT)
    fresh = here.sinks(chosen, here.store(chosen, AT))
    store.outbox.failed(1, "HTTP 500")
    failing = here.sinks(chosen, here.store(chosen, AT))
    store.outbox.delivered(1, AT)
    store.outbox.delivered(2, AT)
    stored = here.store(chosen, AT)
    store.close()

    untried = "log: not tried yet: no message was sent to it, as far as is stored"
    assert [Check("sink team", None, untried)] == fresh
    assert [(False, "log: 2 messages could not be delivered yet")] == [(one.works, one.says) for one in failing]
    assert [Check("sink team", True, "log: it took messages, and none failed since")] == here.sinks(chosen, stored)
    assert ['set [alert] paging = "on"'] == [one.add for one in here.sinks(settings(file, paging="shadow"), stored)]


def test_a_sink_that_took_nothing(tmp_path: Path) -> None:
    """What was overtaken, or only recorded in shadow, was not taken by anybody."""
    store = Store(f"sqlite:///{tmp_path / 'm.db'}")
    store.outbox.settle("llama", (), (Outgoing("shadow", {"text": "x"}, shadow=True),), AT)
    store.outbox.delivered(1, AT)
    for text in ("first", "second"):
        store.outbox.settle("llama", (), (Outgoing("team", {"key": "k", "text": text}, shadow=False),), AT)
    took = store.outbox.took()
    store.close()

    assert frozenset() == took


def test_a_sink_that_cannot_be_used(tmp_path: Path) -> None:
    """What is missing for a sink is told with what to add, though paging is in shadow."""
    hook = Sink(kind="webhook", url=SecretStr("https://hooks.example/"), secret_file=str(tmp_path / "none"))
    chosen = settings(tmp_path / "m.db").model_copy(update={"alert": Alert(sink={"team": hook})})

    (check,) = here.sinks(chosen, Stored(GOOD_STORE))

    assert ("sink team", False, "correct the path or its rights") == (check.name, check.works, check.add)


@pytest.mark.parametrize(
    ("namespace", "marks", "contained"),
    [
        ("pid:[4026532201]", True, True),
        ("pid:[4026532201]", False, False),
        ("pid:[4026531836]", True, False),
        (None, True, True),
    ],
)
def test_a_container(tmp_path: Path, namespace: str | None, marks: bool, contained: bool) -> None:  # noqa: FBT001 - parameters of the cases
    """A container has its marks and processes of its own; a machine that was made of an image has the marks alone."""
    link, mark = tmp_path / "pid", tmp_path / ".dockerenv"
    if namespace:
        link.symlink_to(namespace)
    if marks:
        mark.touch()

    assert contained == here.is_contained(link, [str(mark)])


def test_here() -> None:
    """What is known of the machine is of now and here."""
    before = time.time()

    assert before <= here.machine().now <= time.time()
    assert here.machine().descriptors > 0


def test_the_command(tmp_path: Path) -> None:
    """An old store ends the command with exit 1 and one line, after all else was tried."""
    run("DROP TABLE baseline")(tmp_path / "m.db")
    env = {"MONITOR_STORE__URL": f"sqlite:///{tmp_path / 'm.db'}"}
    arguments = ["doctor", "--target", "http://127.0.0.1:9", "--web.listen-address", "127.0.0.1:0"]

    result = CliRunner().invoke(app, arguments, env=env, catch_exceptions=False)

    first, second, *rest = result.stdout.splitlines()
    assert (1, "") == (result.exit_code, result.stderr)
    assert f"broken  store: store sqlite:///{tmp_path}/m.db: no such table: baseline" == first
    assert "        add: move it away, or set another [store] url" == second
    assert "works   web: 127.0.0.1:0 can be served on" in rest
