"""`monitor config check`: what serve refuses is refused before, and nothing is asked, sent or made to find out."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli.app import app

# apprise imports imghdr, which Python 3.11 and 3.12 call deprecated and 3.13 does not have.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

ELSEWHERE = "; correct the path or its rights"
NOT_READ = "No such file or directory"
WRONG = {
    '[target.one]\nurl = "http://x:8000"\napi_key_file = "FOLDER/key"': (
        f"target.one: api_key_file FOLDER/key: [Errno 2] {NOT_READ}: 'FOLDER/key'{ELSEWHERE}"
    ),
    '[target.two]\nurl = "https://x:8000"\nca_file = "FOLDER/ca"': (
        f"target.two: ca_file FOLDER/ca: {NOT_READ}{ELSEWHERE}"
    ),
    '[tuning]\ndisable = ["nix"]': ("[tuning] disable: there is no rule 'nix'; `monitor tuning explain` lists them"),
    '[alert.sink.a]\nkind = "webhook"\nurl = "https://x.example/"\nsecret_file = "FOLDER/empty"': (
        "alert.sink.a: secret_file FOLDER/empty: it is empty; write the secret into it"
    ),
    '[alert.sink.b]\nkind = "apprise"\nurl = "pigeon://loft"': (
        "alert.sink.b: apprise knows no such url; its documentation says how a service's is written"
    ),
    '[store]\nurl = "FOLDER/m.db"': (
        "[store] url is not usable: Could not parse SQLAlchemy URL from given URL string; "
        "write it like sqlite:////var/lib/vllm-monitor/monitor.db"
    ),
}


def check(folder: Path, text: str) -> tuple[int, list[str]]:
    """Check settings; gives the exit code and the lines told."""
    (folder / "empty").write_text("\n")
    file = folder / "monitor.toml"
    file.write_text(text.replace("FOLDER", str(folder)))
    result = CliRunner().invoke(app, ["config", "check", "--config", str(file)], catch_exceptions=False)
    return result.exit_code, result.output.splitlines()


def told(folder: Path, *lines: str) -> list[str]:
    return [f"monitor: {line}".replace("FOLDER", str(folder)) for line in lines]


@pytest.mark.parametrize("text", WRONG)
def test_what_lies_beside_the_settings(tmp_path: Path, text: str) -> None:
    """A key, certificate, rule, sink or store that serve could not use is one line, with exit 2."""
    assert (2, told(tmp_path, WRONG[text])) == check(tmp_path, text)


def test_all_at_once(tmp_path: Path) -> None:
    """Of several mistakes none hides another."""
    assert (2, told(tmp_path, *WRONG.values())) == check(tmp_path, "\n".join(WRONG))


@pytest.mark.parametrize("scheme", ["postgres", "oracle"])
def test_a_store_without_its_driver(tmp_path: Path, scheme: str) -> None:
    """A store whose kind or driver is not here is refused, and its password is not told."""
    code, lines = check(tmp_path, f'[store]\nurl = "{scheme}://user:geheim@x/y"')

    assert (2, 1) == (code, len(lines))
    assert lines[0].startswith("monitor: [store] url is not usable: ")
    assert "geheim" not in lines[0]


def test_nothing_is_made(tmp_path: Path) -> None:
    """Settings that can be used are said to, and no store is made to find out."""
    text = f'[target.far]\nurl = "http://no-such-host.invalid:8000"\n[store]\nurl = "sqlite:///{tmp_path}/m.db"'

    assert (0, ["settings ok"]) == check(tmp_path, text)
    assert not (tmp_path / "m.db").exists()
