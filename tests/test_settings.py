"""What the operator may write, where it may come from, and what each mistake is answered with."""

import json
from pathlib import Path

import h11
import pytest
from goldens import compare
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from monitor.canary.profiles import BUILT_IN
from monitor.settings import PROFILES, Canary, OwnProfile, Settings, SettingsError, Sink, Target, duration
from monitor.settings_kinds import written
from monitor.settings_source import load

CONFIG = Path(__file__).parent / "config"
BAD = sorted(path.stem for path in CONFIG.glob("bad-*.toml"))
SECRET = "s3cr3t"  # noqa: S105 - no secret at all

FILE = """
[target.Llama]
url = "http://llama:8000"
api_key = "s3cr3t-key"
model = "tiny"

[target.qwen]
url = "http://qwen:8000/"

[heartbeat]
every = "20s"

[canary]
headers = { X-Token = "s3cr3t-header" }

[canary.profile.mine]
prompt = "Say yes."
headers = { X-Key = "s3cr3t-key" }

[alert.sink.team]
kind = "webhook"
url = "https://hooks.example/s3cr3t-hook"

[alert.sink.signed]
kind = "webhook"
url = "https://hooks.example/s3cr3t-hook"
secret = "s3cr3t-signing"

[store]
url = "postgresql://monitor:s3cr3t-password@db/monitor"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "monitor.toml"
    path.write_text(FILE)
    return path


def mistakes(file: Path | None = None, env: dict[str, str] | None = None, targets: tuple[str, ...] = ()) -> str:
    with pytest.raises(SettingsError) as caught:
        load(file, env or {}, targets)
    return str(caught.value)


@pytest.mark.parametrize("name", BAD)
def test_bad_file(name: str) -> None:
    """Each mistake gives exactly the text beside it: what, where, what to do; never the value of a secret."""
    text = mistakes(CONFIG / f"{name}.toml").replace(str(CONFIG), "tests/config")

    compare(CONFIG / f"{name}.txt", f"{text}\n")
    assert SECRET not in text


def test_without_anything() -> None:
    """Without file and variables there is one target, the server of this machine."""
    settings = load(None, {})

    assert {"default": "http://localhost:8000"} == {name: target.url for name, target in settings.target.items()}
    assert Settings() == settings


def test_no_target_is_the_default_target(tmp_path: Path) -> None:
    """A file that configures no target means the server of this machine."""
    (tmp_path / "monitor.toml").write_text("[target]\n")

    assert Settings() == load(tmp_path / "monitor.toml", {})


def test_durations_are_seconds(file: Path) -> None:
    """Durations are seconds from here on."""
    settings = load(file, {"MONITOR_STORE__RETENTION": "1h30m", "MONITOR_CANARY__TIMEOUT": "500ms"})

    assert (20.0, 5400.0, 0.5) == (settings.heartbeat.every, settings.store.retention, settings.canary.timeout)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_duration_adds_up(hours: int, minutes: int, seconds: int) -> None:
    """Parts of a duration add up."""
    assert hours * 3600 + minutes * 60 + seconds == duration(f"{hours}h{minutes}m{seconds}s")


@given(st.integers(0, 10**10))
def test_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    """What `monitor config` prints for a duration is that duration."""
    assert pytest.approx(milliseconds / 1000) == duration(written(milliseconds / 1000))


@given(st.text(max_size=8) | st.integers() | st.booleans() | st.none() | st.floats())
def test_duration_is_read_or_refused(text: object) -> None:
    """Whatever stands in place of a duration is seconds or a ValueError."""
    try:
        seconds = duration(text)
    except ValueError:
        return
    assert isinstance(seconds, float | int)
    assert seconds >= 0


def test_missing_file(tmp_path: Path) -> None:
    """A file that is named and not there is told, with what to do."""
    path = tmp_path / "none.toml"

    assert f"{path}: No such file or directory; give a readable file with --config" == mistakes(path)


def test_file_of_bytes(tmp_path: Path) -> None:
    """A file that is no text is told."""
    path = tmp_path / "monitor.toml"
    path.write_bytes(b"\xff\xfe\x00")

    assert mistakes(path).startswith(f"{path}: not a text file")


def test_environment_wins_over_the_file(file: Path) -> None:
    """A variable replaces what the file says, and leaves the rest of it."""
    settings = load(file, {"MONITOR_HEARTBEAT__EVERY": "5s", "MONITOR_ALERT__PAGING": "on"})

    assert (5.0, "on") == (settings.heartbeat.every, settings.alert.paging)
    assert ["Llama", "qwen"] == list(settings.target)


def test_environment_has_no_case(file: Path) -> None:
    """Variables have no case, names in the file do: the variable means the target that the file names."""
    settings = load(file, {"MONITOR_TARGET__LLAMA__URL": "http://new:8000", "MONITOR_ALERT__SINK__TEAM__KIND": "log"})

    assert ["Llama", "qwen"] == list(settings.target)
    assert ("http://new:8000", "tiny") == (settings.target["Llama"].url, settings.target["Llama"].model)
    assert "log" == settings.alert.sink["team"].kind


def test_environment_alone() -> None:
    """A target can be made of variables alone, and replaces the default one."""
    settings = load(None, {"MONITOR_TARGET__LLAMA__URL": "http://llama:8000", "MONITOR_TARGET__LLAMA__MODEL": "tiny"})

    assert {"llama": Target(url="http://llama:8000", model="tiny")} == settings.target


def test_lists_and_tables_in_the_environment() -> None:
    """Lists and tables are written as JSON."""
    settings = load(
        None,
        {
            "MONITOR_CANARY__PROFILES": '["short"]',
            "MONITOR_CANARY__EXTRA_BODY": '{"seed": 7}',
            "MONITOR_TUNING__DISABLE": '["a", "b"]',
        },
    )

    assert ["short"] == settings.canary.profiles
    assert {"seed": 7} == settings.canary.extra_body
    assert ["a", "b"] == settings.tuning.disable


def test_canary_of_the_operators_own() -> None:
    """A profile of one's own can be made of variables alone; what is not said has its usual value."""
    settings = load(
        None,
        {
            "MONITOR_CANARY__PROFILES": '["mine", "stall"]',
            "MONITOR_CANARY__PROFILE__MINE__PROMPT": "Say yes.",
            "MONITOR_CANARY__PROFILE__MINE__ENDPOINT": "completions",
            "MONITOR_CANARY__IDLE_AFTER": "10m",
            "MONITOR_CANARY__PRIORITY": "-1",
        },
    )

    assert ["mine", "stall"] == settings.canary.profiles
    assert {"mine": OwnProfile(prompt="Say yes.", endpoint="completions")} == settings.canary.profile
    assert (16, 600.0, -1) == (
        settings.canary.profile["mine"].output_tokens,
        settings.canary.idle_after,
        settings.canary.priority,
    )


def test_built_in_profiles_are_those_of_the_canary() -> None:
    """What may be chosen is what there is to be asked."""
    assert tuple(BUILT_IN) == PROFILES


LATIN = st.characters(max_codepoint=255)


@given(st.dictionaries(st.text(LATIN, max_size=4), st.text(LATIN, max_size=6), max_size=3))
def test_headers_can_be_sent_or_are_refused(headers: dict[str, str]) -> None:
    """What is accepted as a header is what HTTP takes, as it is."""
    try:
        accepted = Canary.model_validate({"headers": headers}).headers
    except ValidationError:
        return
    sent = [(name.encode(), value.get_secret_value().encode()) for name, value in accepted.items()]
    host = (b"Host", b"vllm")
    request = h11.Request(method="POST", target="/", headers=[host, *sent])
    assert [(name.lower(), value) for name, value in sent] == list(request.headers)[1:]


@pytest.mark.parametrize(
    "headers",
    [{"X-Empty": ""}, {"authorization": "Bearer s3cr3t"}, {"X_Gateway.Key~1": 'a b, c="d"'}, {"Host": "vllm.example"}],
)
def test_headers_that_http_carries(headers: dict[str, str]) -> None:
    """What HTTP carries is not refused."""
    accepted = Canary.model_validate({"headers": headers}).headers

    assert headers == {name: value.get_secret_value() for name, value in accepted.items()}


@pytest.mark.parametrize(
    "text",
    ["s3cr3t\nHost: x", "s3cr3t\r", "s3cr3t\x00", "s3cr3t\t1", " s3cr3t", "s3cr3t ", "s3cr3t-schlüssel", "\u2028"],
)
def test_a_header_that_cannot_be_sent(file: Path, text: str) -> None:
    """What cannot be a header's value is refused in one line, before a request could fail with it in its error."""
    env = {"MONITOR_CANARY__HEADERS": json.dumps({"X-Token": text})}

    assert (
        "MONITOR_CANARY__HEADERS: canary.headers: the value of X-Token must be one line of plain ASCII characters, "
        "no blanks around it" == mistakes(file, env)
    )


@pytest.mark.parametrize("body", ['{"stop": "\\ud800"}', '{"seed": NaN}', '{"seed": -Infinity}'])
def test_a_body_that_cannot_be_sent(file: Path, body: str) -> None:
    """What JSON or UTF-8 cannot carry is refused, before every request would fail over it."""
    text = "canary.extra_body: not JSON: dates, inf, nan and what is no text cannot be sent"

    assert f"MONITOR_CANARY__EXTRA_BODY: {text}" == mistakes(file, {"MONITOR_CANARY__EXTRA_BODY": body})


def test_a_mistake_of_the_file_is_not_blamed_on_a_variable(file: Path) -> None:
    """A variable of the canary's section does not take the blame for a profile that the file chooses."""
    file.write_text('[canary]\nprofiles = ["endless"]\n')

    assert mistakes(file, {"MONITOR_CANARY__EVERY": "30s"}).startswith(f"{file}: canary.profiles: 'endless' is not")


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("MONITOR_HEARTBEAT__EVRY", "5s", "heartbeat.evry: unknown key; known here: every"),
        (
            "MONITOR_HEARBEAT__EVERY",
            "5s",
            "hearbeat: unknown key; known here: alert, ascend, canary, heartbeat, host, store, target, tuning",
        ),
        (
            "MONITOR_HEARTBEAT__EVERY",
            "15",
            "heartbeat.every: '15' is not a duration: write it like 15s, 2m, 1h or 30d",
        ),
        ("MONITOR_CANARY__PROFILES", "short", "canary.profiles: Input should be a valid list"),
        ("MONITOR_CANARY__PROFILES", '["short"', "canary.profiles: Input should be a valid list"),
        ("MONITOR_CANARY__EXTRA_BODY", '{"key": s3cr3t}', "canary.extra_body: Input should be a valid dictionary"),
        ("MONITOR_ALERT__SINK__TEAM__URL", "s3cr3t", 'alert.sink.team: a webhook needs url = "https://..."'),
        (
            "MONITOR_CANARY__",
            "off",
            (
                "canary.: unknown key; known here: every, extra_body, headers, idle_after, max_tokens_per_minute, "
                "priority, profile, profiles, timeout"
            ),
        ),
    ],
)
def test_mistakes_in_the_environment(file: Path, variable: str, value: str, text: str) -> None:
    """A mistake in a variable is told with the variable's name, never with its value if that is a secret."""
    assert f"{variable}: {text}" == mistakes(file, {variable: value})


def test_mistakes_of_file_and_environment_are_told_together(file: Path) -> None:
    """All mistakes are told at once, each with where it stands."""
    file.write_text('[heartbeat]\nevery = 15\n[canary]\ntimeout = "2m"\n')
    lines = mistakes(file, {"MONITOR_CANARY__TIMEOUT": "long", "MONITOR_ALERT__PAGING": "loud"}).splitlines()

    assert [
        f"{file}: heartbeat.every: 15 is not a duration: write it with a unit, like 15s, 2m, 1h or 30d",
        "MONITOR_CANARY__TIMEOUT: canary.timeout: 'long' is not a duration: write it like 15s, 2m, 1h or 30d",
        "MONITOR_ALERT__PAGING: alert.paging: Input should be 'shadow' or 'on'",
    ] == lines


def test_names_that_are_not_ours() -> None:
    """What Kubernetes injects for a service called monitor, the tests' variables and other programs' are ignored."""
    env = {
        "MONITOR_SERVICE_HOST": "10.0.0.1",
        "MONITOR_PORT": "tcp://10.0.0.1:9877",
        "MONITOR_PORT_9877_TCP_ADDR": "10.0.0.1",
        "MONITOR_CANARY": "off",
        "MONITOR_TEST_STRICT": "1",
        "MONITOR_TEST__VLLM_URL": "http://x",
        "OTHER__KEY": "x",
        "monitor_heartbeat__every": "1s",
    }

    assert Settings() == load(None, env)


def test_secrets_are_masked(file: Path) -> None:
    """No secret is shown, printed or represented, while all else of the effective settings is."""
    settings = load(file, {})
    masked = settings.masked()

    for shown in (str(masked), repr(settings), str(settings), repr(settings.target), settings.model_dump_json()):
        assert SECRET not in shown
    assert "**********" == masked["target"]["Llama"]["api_key"]
    assert ("", "http://qwen:8000") == (masked["target"]["qwen"]["api_key"], masked["target"]["qwen"]["url"])
    assert "**********" == masked["store"]["url"]
    assert {"X-Token": "**********"} == masked["canary"]["headers"]
    assert {"X-Key": "**********"} == masked["canary"]["profile"]["mine"]["headers"]


def test_command_line_targets_replace(file: Path) -> None:
    """Targets from the command line are watched instead of the configured ones, named by their addresses."""
    settings = load(file, {}, ("http://127.0.0.1:8001", "https://vllm.example/v/"))

    assert {"127.0.0.1:8001": "http://127.0.0.1:8001", "vllm.example-v": "https://vllm.example/v"} == {
        name: target.url for name, target in settings.target.items()
    }
    assert 20.0 == settings.heartbeat.every


def test_a_target_by_its_name(file: Path) -> None:
    """A target is chosen by its name in the settings, too; a wrong one is told which there are."""
    settings = load(file, {}, ("qwen",))

    assert {"qwen": "http://qwen:8000"} == {name: target.url for name, target in settings.target.items()}
    with pytest.raises(SettingsError, match=r"--target: not an address: .*; or a name: Llama, qwen"):
        load(file, {}, ("gwen",))


@pytest.mark.parametrize("where", ["target.llama.api_key", "store.url", "canary.headers.X-Key", "alert.sink.a.secret"])
def test_stars_are_no_secret(where: str) -> None:
    """What `monitor config` prints in place of a secret is refused where a secret belongs."""
    tree: dict[str, object] = {"kind": "webhook", "url": "https://a"} if "sink" in where else {}
    *path, last = where.split(".")
    tree[last] = "**********"
    for part in reversed(path):
        tree = {part: tree}

    with pytest.raises(ValidationError, match="these stars only stand for a secret"):
        Settings.model_validate(tree)


def test_a_configured_target_keeps_its_name_and_key(file: Path) -> None:
    """A target given by a configured address is the configured one, with name, key and model."""
    settings = load(file, {}, ("http://llama:8000/",))

    assert ["Llama"] == list(settings.target)
    assert ("s3cr3t-key", "tiny") == (settings.target["Llama"].key(), settings.target["Llama"].model)


def test_servers_of_one_host_are_told_apart() -> None:
    """Every address from the command line is watched, also two of one host; the same one only once."""
    targets = ("http://h:8000/a", "http://h:8000/b", "http://h:8000", "http://h:8000/b/")

    assert ["h:8000-a", "h:8000-b", "h:8000"] == list(load(None, {}, targets).target)


@pytest.mark.parametrize("url", ["localhost:8000", "http://user:s3cr3t@localhost:8000", "http://", ""])
def test_a_bad_target_on_the_command_line(file: Path, url: str) -> None:
    """A bad address on the command line is told as such, and not blamed on the file."""
    text = "--target: not an address: write it like http://localhost:8000; credentials go into api_key_file; or "
    text += "a name: Llama, qwen"

    assert text == mistakes(file, {}, (url,))


def test_key_file_is_read_each_time(tmp_path: Path) -> None:
    """A rotated key file counts from the next request for the key on, without the line end of its editor."""
    path = tmp_path / "key"
    target = Target(api_key_file=str(path), api_key="other")
    path.write_text("first\n")
    assert "first" == target.key()
    path.write_text("second\n\n")
    assert "second" == target.key()


def test_keys_without_a_file() -> None:
    """Without a file the key is the one in the settings, and none is none."""
    assert ("x", "") == (load(None, {"MONITOR_TARGET__A__API_KEY": "x"}).target["a"].key(), Target().key())


def test_unreadable_key_file(tmp_path: Path) -> None:
    """A key file that cannot be read is told in one line with its path."""
    path = tmp_path / "key"
    with pytest.raises(SettingsError) as caught:
        Target(api_key_file=str(path)).key()
    wanted = f"api_key_file {path}: [Errno 2] No such file or directory: '{path}'; correct the path or its rights"
    assert wanted == str(caught.value)


@pytest.mark.parametrize("text", ["s3cr3t\nsecond", "s3cr3t-schlüssel", "s3cr3t\x00"])
def test_a_key_that_cannot_be_sent(tmp_path: Path, text: str) -> None:
    """What cannot be a header is refused before a request could fail with the key in its error."""
    path = tmp_path / "key"
    path.write_text(text, encoding="utf-8")
    for target, origin in (
        (Target(api_key_file=str(path)), f"api_key_file {path}"),
        (Target.model_validate({"api_key": text}), "api_key"),
    ):
        with pytest.raises(SettingsError) as caught:
            target.key()
        assert f"{origin}: not a key: it must be one line of plain ASCII characters" == str(caught.value)


def test_a_socket_is_an_endpoint_of_its_own() -> None:
    """A server behind a socket is told from one behind the port of the same name, and by its root path."""
    targets = [Target(uds="/run/vllm.sock"), Target(uds="/run/vllm.sock", url="http://x/api"), Target()]

    assert ["unix:/run/vllm.sock", "unix:/run/vllm.sock/api", "http://localhost:8000"] == [
        target.endpoint for target in targets
    ]
    assert ["unix:/run/vllm.sock", "unix:/run/vllm.sock", "http://localhost:8000"] == [
        target.shown for target in targets
    ]


@pytest.mark.parametrize("spelt", ["unix:/run/vllm.sock", "unix:///run/vllm.sock"])
def test_a_socket_on_the_command_line(file: Path, spelt: str) -> None:
    """A socket may stand in place of an address; a configured target with this socket keeps its name and key."""
    file.write_text('[target.here]\nuds = "/run/vllm.sock"\napi_key = "s3cr3t"\n[target.tcp]\nmodel = "tiny"\n')

    configured = load(file, {}, (spelt, "http://localhost:8000")).target
    assert ("here", "s3cr3t") == (next(iter(configured)), configured["here"].key())
    assert "tiny" == configured["tcp"].model
    assert {"run-vllm.sock": Target(uds="/run/vllm.sock")} == load(None, {}, (spelt,)).target


@pytest.mark.parametrize("spelt", ["unix:", "unix:vllm.sock"])
def test_no_socket_on_the_command_line(file: Path, spelt: str) -> None:
    """What is no path of a socket is told as such."""
    expected = "--target: not the path of a socket: write it like /run/vllm.sock; or a name: Llama, qwen"

    assert expected == mistakes(file, targets=(spelt,))


def test_loopback_is_one_endpoint() -> None:
    """However the loopback is spelt, its server is one to a baseline; other hosts are what they are."""
    urls = ("http://localhost:8000", "http://127.0.0.1:8000/", "http://[::1]:8000", "https://vllm/api")

    assert ["http://localhost:8000"] * 3 + ["https://vllm/api"] == [Target(url=url).endpoint for url in urls]


def test_signing_secret(tmp_path: Path) -> None:
    """A webhook's secret is what the settings say, or the text of a file, without blanks around it."""
    (tmp_path / "secret").write_text(f" {SECRET}\n")
    hook = {"kind": "webhook", "url": "https://hooks.example/"}
    given: tuple[dict[str, str], ...] = ({}, {"secret": SECRET}, {"secret_file": str(tmp_path / "secret")})

    assert ["", SECRET, SECRET] == [Sink.model_validate({**hook, **one}).signing_secret() for one in given]


@pytest.mark.parametrize(("text", "said"), [(None, "No such file"), (" \n", "it is empty; write the secret into it")])
def test_a_signing_secret_that_is_none(text: str | None, said: str, tmp_path: Path) -> None:
    """A file without a secret is told, with what to do: to sign with nothing would only look like signing."""
    file = tmp_path / "secret"
    if text is not None:
        file.write_text(text)
    sink = Sink(kind="webhook", url=SecretStr("https://hooks.example/"), secret_file=str(file))

    with pytest.raises(SettingsError, match=said):
        sink.signing_secret()
