"""Arguments as a log prints them are told without secrets, wherever these stand and wherever the line was cut."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.collect.vllm_log.arguments import LONGEST, arguments, masked

SECRET = "mellon"  # noqa: S105 - what must not be told
NAMES = ("api_key", "hf_token", "ssl_keyfile_password", "AWS_SECRET_ACCESS_KEY", "accessToken", "Authorization")
OTHERS = ("model", "max_num_batched_tokens", "tokenizer", "hf_overrides", "x")


def named(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Give containers in which secrets have their names, in each form that is printed."""
    secret = st.sampled_from([SECRET, [SECRET, SECRET], {"x": SECRET}, (SECRET,), f"it's {SECRET}", f'"{SECRET}"'])
    return st.one_of(
        st.dictionaries(st.sampled_from(NAMES), secret, min_size=1, max_size=2),
        st.dictionaries(st.sampled_from(OTHERS), inner, max_size=3),
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.tuples(st.sampled_from(NAMES), st.just(SECRET)),
        st.sampled_from(NAMES).map(lambda name: f"{name}: {SECRET}"),
        st.sampled_from(NAMES).map(lambda name: f"http://host/?{name}={SECRET}"),
        st.sampled_from(NAMES).map(lambda name: f"run --{name} {SECRET} --{name}={SECRET}"),
        st.sampled_from(NAMES).map(lambda name: ["run", f"--{name}", SECRET]),
        st.just(f"redis://me:{SECRET}@host:6379/0"),
        st.just(f"x-auth: y, bearer {SECRET}"),
        inner.map(repr),
    )


VALUES = st.recursive(st.sampled_from([None, True, 8192, 0.9, "auto", "it's", 'a "b"', "back\\slash", ""]), named)
GIVEN = st.dictionaries(st.sampled_from((*NAMES[:1], *OTHERS)), VALUES, min_size=1)


def told(given_arguments: dict[str, object], *, namespace: bool) -> str:
    """Print arguments as vLLM does."""
    if namespace:
        return f"Namespace({', '.join(f'{name}={value!r}' for name, value in given_arguments.items())})"
    return repr(given_arguments)


@settings(max_examples=500)
@given(values=GIVEN, namespace=st.booleans(), data=st.data())
def test_no_secret_is_told(values: dict[str, object], namespace: bool, data: st.DataObject) -> None:  # noqa: FBT001 - hypothesis passes by name
    """No secret is told, however deep it stands; of a text that was cut nothing is told."""
    values = {**values, "api_key": [SECRET]}
    text = told(values, namespace=namespace)
    cut = data.draw(st.integers(0, len(text) - 1))

    assert SECRET not in (arguments(text) or SECRET)
    assert arguments(text[:cut]) is None


@given(
    values=st.dictionaries(
        st.sampled_from(OTHERS),
        st.integers(1) | st.sampled_from(["auto", "it's", 'a "b"', "C:\\x", "a, b: c=d", ("y",)]),
    )
)
def test_the_rest_is_told(values: dict[str, object]) -> None:
    """What is no secret is told as it stands, argument by argument."""
    expected = ", ".join(f"{name}={value!r}" for name, value in values.items())

    assert [expected, expected] == [arguments(told(values, namespace=one)) for one in (False, True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'api_key': None, 'disable_key': False}", "api_key=None, disable_key=False"),
        ("{'api_key': ['a', 'b'], 'model': 'x'}", "api_key=***, model='x'"),
        ("{'served_model_name': 'top-secret', 'dtype': 'auto'}", "served_model_name='top-secret', dtype='auto'"),
        ("Namespace(a=None, b=False, c='', d=[], e={}, f=0, g=True)", "f=0, g=True"),
        ("Namespace(f=<function f at 0x7f1a2b3c4d50>, g=C(a=1, token=1))", "f=<function f>, g=C(a=1, token=***)"),
        ("Namespace(u=<Url https://me:x@host/p>)", "u=<Url https://***@host/p>"),
        ("Namespace(hf_token=None, limit={'image': 1})", "limit={'image': 1}"),
        ("{'extra': '{\"apiKey\": \"x\", \"a\": [1, 2]}'}", "extra='{\"apiKey\": ***, \"a\": [1, 2]}'"),
        ("{'url': 'https://me:x@host/p?token=y'}", "url='https://***@host/p?token=***'"),
        ("{'name': 'sk-0123456789abcdef'}", "name='***'"),
        ("{}", ""),
        ("", None),
        ("{'model': 'x'", None),
        ("{'model': 'x}", None),
        ("{'model': 'x'} and more", None),
    ],
)  # fmt: skip
def test_examples(text: str, expected: str | None) -> None:
    """What each form becomes."""
    assert expected == arguments(text)


def test_long_arguments() -> None:
    """Of very long arguments the beginning is told, and that the rest is not what it was."""
    one, other = (arguments(f"{{'chat_template': '{'x' * 5000}{end}'}}") or "" for end in "ab")

    assert one[:LONGEST] == other[:LONGEST] == f"chat_template='{'x' * 5000}"[:LONGEST]
    assert one != other
    assert len(one) == LONGEST + 14


@settings(max_examples=300)
@given(text=st.text("ab'\"\\,:= ()") | st.text())
@example("'" * 3 + "\\")
def test_any_text(text: str) -> None:
    """Whatever is told as arguments gives a text that can be shown; without names of secrets nothing is masked."""
    for one in (text, f"{{{text}}}", f"Namespace(api_key={text})", f"Namespace(a='{text}')"):
        (arguments(one) or "").encode(errors="strict")
    if set(text) <= set("ab'\"\\,:= ()"):
        assert text.replace("\\", "") == masked(text).replace("\\", "")


@pytest.mark.parametrize("nasty", ["'\\", '"', "(", "'{\"", "key:", "{'a': ", "a", "key=(", "://", "--a "])
def test_long_nasty_text(nasty: str) -> None:
    """No text of the longest line's length takes long."""
    began = time.process_time()
    text = nasty * (65_536 // len(nasty))
    for one in (f"{{{text}}}", f"Namespace(a='{text}')"):
        arguments(one)

    assert time.process_time() - began < 5
