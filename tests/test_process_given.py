"""A server's arguments come out the same however they were written; a secret's value never comes out."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.collect.process.arguments import facts
from monitor.collect.process.files import Proc
from monitor.collect.process.find import Server
from monitor.collect.process.given import configured, parse
from monitor.collect.process.scan import Process
from monitor.collect.redact import LONGEST, clean, is_secret, shown
from monitor.guides import ARGUMENTS, FLAGS
from monitor.model import Fact

WORDS = st.one_of(
    st.sampled_from(["--", "-", "-O3", "-tp", "--no-x", "--api-key", "--a.b.c", "-O.x=1", "--a.b+", "=", "{", "[1"]),
    st.text(max_size=12),
    st.sampled_from(ARGUMENTS).map(lambda name: f"--{name}"),
)


def told(tmp: Proc, *words: str) -> dict[str, Fact]:
    process = Process(1, 0, 0, ("/usr/bin/python3", "/usr/bin/vllm", "serve", *words))
    return {fact.name.removeprefix("process."): fact for fact in facts(tmp, Server(process))}


@pytest.fixture
def nowhere(tmp_path: Path) -> Proc:
    return Proc(tmp_path, tmp_path, 0, 0, 0)


TENSOR, PIPELINE, DATA = "tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("m", {"model": ("m",)}),
        ("--model m", {"model": ("m",)}),
        ("--model=m --max_model_len=8k", {"model": ("m",), "max-model-len": ("8k",)}),
        ("m --max-model-len -1", {"model": ("m",), "max-model-len": ("-1",)}),
        ("-tp 2 -pp=3 -dp 4 -q fp8", {TENSOR: ("2",), PIPELINE: ("3",), DATA: ("4",), "quantization": ("fp8",)}),
        ("--enforce-eager --no-async-scheduling", {"enforce-eager": ("true",), "async-scheduling": ("false",)}),
        ("--enforce-eager m", {"enforce-eager": ("true",), "model": ("m",)}),
        ("--enable-chunked-prefill False m", {"enable-chunked-prefill": ("false",), "model": ("m",)}),
        ("--enable-chunked-prefill=1", {"enable-chunked-prefill": ("true",)}),
        ("--trust-remote-code m", {"trust-remote-code": ("true",), "model": ("m",)}),
        ("-O3", {"optimization-level": ("3",)}),
        ("-O 2", {"optimization-level": ("2",)}),
        ("-O=1", {"optimization-level": ("1",)}),
        ("--served-model-name a b --port 1", {"served-model-name": ("a", "b"), "port": ("1",)}),
        ("--api-key a b c", {"api-key": ("a", "b", "c")}),
        ("--port 1 --port 2", {"port": ("2",)}),
        ("--dtype", {"dtype": ()}),
        ("m more", {"model": ("m",)}),
    ],
)
def test_parse(line: str, expected: dict[str, tuple[str, ...]]) -> None:
    """Each spelling of an argument leads to its one name and its value."""
    assert expected == parse(line.split())


@pytest.mark.parametrize(
    "line",
    [
        """--compilation-config {"level":3,"cudagraph_mode":"FULL"}""",
        """--compilation_config={"cudagraph_mode":"FULL","level":3}""",
        """-cc {"level":3,"cudagraph_mode":"FULL"}""",
        "--compilation-config.level 3 --compilation_config.cudagraph_mode=FULL",
        "-O.level=3 -O.cudagraph_mode FULL",
    ],
)
def test_json_in_one_form(line: str, nowhere: Proc) -> None:
    """JSON is told compact and sorted, whether it was given whole or key by key; its named keys are facts."""
    found = told(nowhere, "m", *line.split())

    assert '{"cudagraph_mode":"FULL","level":3}' == found["arg.compilation-config"].value
    assert "FULL" == found["arg.compilation-config.cudagraph_mode"].value
    assert "unset" == found["arg.compilation-config.cudagraph_capture_sizes"].value


def test_dotted_lists_and_depths() -> None:
    """A list is given with a plus sign, a key below another with another dot; what excludes the first is left out."""
    words = ["--a.b.c", "1", "--a.b.d", "[1,2]", "--a.e+", "x,y", "--a.b.c.f", "9", "--a.g", "{"]

    assert {"a": (json.dumps({"b": {"c": 1, "d": [1, 2]}, "e": ["x", "y"], "g": "{"}),)} == parse(words)


def test_configured() -> None:
    """Plain lines of YAML are read, remarks and quotes left out; what is nested is known to be there, and no more."""
    text = """# all
model: /m  # ours
served_model_name: 'a'
enforce-eager: TRUE
tp: 2
nothing:
cc:
  mode: 1
lora:
- x
text: |
  y
no colon"""

    assert {
        "model": ("/m",),
        "served-model-name": ("a",),
        "enforce-eager": ("true",),
        "tensor-parallel-size": ("2",),
        "nothing": None,
        "compilation-config": None,
        "lora": None,
        "text": None,
    } == configured(text)


def test_others_are_named_and_counted_in_the_digest(nowhere: Proc) -> None:
    """Arguments that are no facts are named without values; a change of any argument changes the digest."""
    one = told(nowhere, "m", "--middleware", "x", "--api-key", "k")
    other = told(nowhere, "m", "--middleware", "y", "--api-key", "k")
    order = told(nowhere, "--api-key", "k", "--middleware", "x", "--model", "m")

    assert "api-key middleware" == one["arguments_others"].value
    assert one["arguments"].value != other["arguments"].value
    assert one["arguments"].value == order["arguments"].value


def test_the_digest_holds_no_secret(nowhere: Proc) -> None:
    """Of a secret the digest only says that it is given: it could be guessed from it."""
    assert told(nowhere, "--api-key", "a")["arguments"] == told(nowhere, "--api-key", "b")["arguments"]
    assert told(nowhere, "--api-key", "a")["arguments"] != told(nowhere)["arguments"]


def test_a_program_of_its_own(nowhere: Proc) -> None:
    """The command line of a program that is no `vllm serve` tells nothing of vLLM's arguments: that is not unset."""
    process = Process(1, 0, 0, ("/usr/bin/python3", "mine.py", "--api-key", "x"))

    assert {None} == {fact.value for fact in facts(nowhere, Server(process))}


@given(words=st.lists(WORDS, max_size=12))
def test_parse_never_raises(words: list[str]) -> None:
    """Whatever the words are, there are no more arguments than words."""
    assert len(parse(words)) <= len(words)


@given(
    name=st.sampled_from(sorted(set(ARGUMENTS) - set(FLAGS))),
    value=st.from_regex(r"[a-z0-9{][a-z0-9/:]*", fullmatch=True),
)
def test_spellings_agree(name: str, value: str) -> None:
    """`--a-b=c`, `--a-b c` and `--a_b c` mean the same."""
    underscores = name.replace("-", "_")

    assert {name: (value,)} == parse([f"--{name}={value}"])
    assert {name: (value,)} == parse([f"--{name}", value])
    assert {name: (value,)} == parse([f"--{underscores}", value])


@given(text=st.text())
def test_configured_never_raises(text: str) -> None:
    """Whatever a file holds, reading it gives names with values, or without."""
    assert all(values is None or all(values) for values in configured(text).values())


SECRETS = (
    "api-key api_key apiKey hf-token token secret aws_secret_access_key password authToken Authorization db_passwd"
)


@pytest.mark.parametrize("name", [*SECRETS.split(), "credentials", "ssl-keyfile-password", "private_key_path"])
def test_is_secret(name: str) -> None:
    """Names of keys, tokens and passwords are known in the ways in which they are written."""
    assert is_secret(name)


@pytest.mark.parametrize("name", ["tokenizer", "max_tokens", "num_speculative_tokens", "tokenizer-mode", "monkey"])
def test_is_no_secret(name: str) -> None:
    """Counts of tokens and tokenizers are no secrets."""
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://user:pass@host/x", "s3://***@host/x"),
        ("https://u:p@ss@host", "https://***@host"),
        ("https://host/x?token=abc&a=1", "https://host/x?token=***&a=1"),
        ("Bearer abc.def", "Bearer ***"),
        ("sk-abcdefgh12 hf_abcdefgh", "*** ***"),
        ("a\nb\x1b[0m\ud800", "a?b?[0m?"),
        ('{"b": [1, {"api_key": "x", "n": NaN}], "a": "sk-1234567890"}', None),
        ("[not json", "[not json"),
        ("max_split_size_mb:250", "max_split_size_mb:250"),
        ("/models/a:b@c", "/models/a:b@c"),
    ],
)
def test_clean(text: str, expected: str | None) -> None:
    """Passwords in addresses, tokens and what says that it is a secret become stars; the rest stays."""
    assert (expected or '{"a":"***","b":[1,{"api_key":"***","n":NaN}]}') == clean(text)


def test_deep_json_is_cut() -> None:
    """JSON that is nested without end is masked below a depth, or left as text where it cannot be read at all."""
    assert "***" in clean('{"a":' * 150 + "1" + "}" * 150)
    assert "[" * 100_000 == clean("[" * 100_000)


def test_long_values_keep_a_digest() -> None:
    """Of a long value the beginning is told, and a digest by which a change of its end is seen."""
    one, other = shown("x" * 5000 + "a"), shown("x" * 5000 + "b")

    assert one != other
    assert {LONGEST} == {len(one), len(other)}


@given(
    secret=st.from_regex(r"[A-Za-z0-9]{12,20}", fullmatch=True),
    form=st.sampled_from(
        [
            ["--api-key", "{}"],
            ["--api-key={}"],
            ["--api_key", "other", "{}"],
            ["--hf-token", "{}"],
            ["--model", "https://me:{}@host/m"],
            ["--speculative-config", '{{"token":"{}"}}'],
            ["--kv-transfer-config.auth_token", "{}"],
            ["--kv-transfer-config", '{{"deep":{{"secretKey":["{}"]}}}}'],
            ["--served-model-name", "hf_{}"],
            ["--model", "s3://b/m?X-Amz-Signature={}"],
            ["--middleware", "{}"],
        ]
    ),
)
def test_no_secret_is_told(secret: str, form: list[str]) -> None:
    """However a secret is given, no fact holds it."""
    process = Process(1, 0, 0, ("vllm", "serve", *(word.format(secret) for word in form)))
    here = Proc(Path(), Path(), 0, 0, 0)

    assert secret not in str(tuple(facts(here, Server(process))))
