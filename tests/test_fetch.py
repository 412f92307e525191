"""How a server is reached: through a socket, over TLS with one's own authority; each failure in words that help."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from routes import GOOD, answer, listening

from monitor.collect.fetch import LookError, SocketError, get
from monitor.parts import client
from monitor.settings import SettingsError, Target

INPUTS = Path(__file__).parent / "inputs"
OWN = str(INPUTS / "untrusted.pem")
"""A certificate that only itself vouches for, with its key."""
ENCRYPTED = str(INPUTS / "encrypted.pem")
"""The same, with its key encrypted."""


def target(**settings: str) -> Target:
    return Target.model_validate(settings)


async def failure(aim: Target) -> LookError:
    """Read from a server that cannot be read from."""
    async with client(aim) as connection:
        with pytest.raises(LookError) as caught:
            await get(connection, "/metrics")
    return caught.value


async def fail(error: Exception) -> LookError:
    """Read from a server over a connection that fails."""

    def handler(_request: httpx.Request) -> httpx.Response:
        raise error

    async with httpx.AsyncClient(transport=httpx.MockTransport(handler), base_url="http://x") as connection:
        with pytest.raises(LookError) as caught:
            await get(connection, "/metrics")
    return caught.value


@asynccontextmanager
async def through_socket(path: Path) -> AsyncIterator[list[str]]:
    """Serve on a UNIX socket; gives the request lines and hosts that came."""
    came: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.extend((await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:2])
        await answer(b"vllm:num_requests_running 0\n")(writer)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield came
    finally:
        server.close()


async def test_a_socket(tmp_path: Path) -> None:
    """A server behind a socket is asked there, with the root path and host of its url."""
    path = tmp_path / "vllm.sock"
    async with (
        through_socket(path) as came,
        client(target(uds=str(path), url="http://vllm.internal/api")) as connection,
    ):
        read = await get(connection, "/metrics")

    assert (200, "vllm:num_requests_running 0\n") == (read.status, read.text)
    assert ["GET /api/metrics HTTP/1.1", "Host: vllm.internal"] == came


async def test_no_socket(tmp_path: Path) -> None:
    """A socket that is not there, and one that nobody listens on, are named; both mean that the server is gone."""
    path = tmp_path / "vllm.sock"
    missing = await failure(target(uds=str(path)))
    async with through_socket(path):
        pass
    if not path.exists():  # newer versions of Python remove it
        path.touch()
    left = await failure(target(uds=str(path)))

    assert (
        f"unix:{path} does not answer: no such socket; does vLLM run with --uds, and is its folder mounted here?"
        == (str(missing))
    )
    assert f"unix:{path} does not answer: connection refused; does vLLM run?" == str(left)
    assert (True, True) == (missing.refused, left.refused)


async def test_a_socket_of_others() -> None:
    """A socket that may not be opened is told with what to do, and does not mean that the server is gone."""
    error = httpx.ConnectError("[Errno 13] Permission denied")
    error.__cause__ = PermissionError(13, "Permission denied")  # root, who may run this test, may open all
    told = await fail(SocketError.of("/run/vllm.sock", error))

    expected = "permission denied; run as vLLM's user, or let its group write to the socket"
    assert (f"unix:/run/vllm.sock does not answer: {expected}", False) == (str(told), told.refused)


async def test_an_authority_of_ones_own() -> None:
    """A certificate that `ca_file` vouches for is trusted; without it the words say what to set."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(OWN)
    async with listening(GOOD, tls) as host:
        async with client(target(url=f"https://{host}", ca_file=OWN)) as connection:
            read = await get(connection, "/metrics")
        told = await failure(target(url=f"https://{host}"))

    assert 200 == read.status
    assert "name its issuer's file in ca_file, or in the variable SSL_CERT_FILE" in str(told)
    assert not told.refused


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_of_the_client(newest: ssl.TLSVersion) -> None:
    """A server that wants a certificate gets it; without one it is told which setting is missing."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=OWN)
    tls.load_cert_chain(OWN)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.maximum_version = newest
    async with listening(GOOD, tls) as host:
        aim = {"url": f"https://{host}", "ca_file": OWN}
        async with client(target(**aim, client_cert_file=OWN)) as connection:
            read = await get(connection, "/metrics")
        told = await failure(target(**aim))

    assert 200 == read.status
    assert "client_cert_file" in str(told)


async def test_a_server_that_hangs_up() -> None:
    """Who speaks http to a server of https is told that it may be that."""

    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening({"/metrics": hang_up}) as host:
        told = await failure(target(url=f"http://{host}"))

    assert f"http://{host} does not answer: it hung up; did it just end, or does it speak https?" == str(told)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_closed_port(host: str) -> None:
    """A port where nothing listens is refused, however many addresses the host has."""
    told = await failure(target(url=f"http://{host}:9"))

    expected = f"http://{host}:9 does not answer: connection refused; does vLLM listen there?"
    assert (expected, True) == (str(told), told.refused)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("All connection attempts failed"), "ConnectError"),
        (httpx.ReadTimeout(""), "it takes too long"),
        (httpx.ConnectError("[Errno -2] Name or service not known"), "[Errno -2] Name or service not known"),
        (httpx.InvalidURL("Invalid IDNA hostname"), "Invalid IDNA hostname"),
    ],
)
async def test_errors_of_the_library(error: Exception, words: str) -> None:
    """What the library raises is told in its words, or in ours where it has none that help; none of it is refused."""
    told = await fail(error)

    assert (f"http://x does not answer: {words}", False) == (str(told), told.refused)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("WRONG_VERSION_NUMBER", "TLS failed (WRONG_VERSION_NUMBER); does it speak http rather than https?"),
        (
            "ALERT_UNKNOWN_CA",
            "it refuses us without a certificate that it trusts (ALERT_UNKNOWN_CA); set client_cert_file",
        ),
    ],
)
async def test_alerts_of_tls(reason: str, words: str) -> None:
    """What OpenSSL gives as its reason is told with what to do about it."""
    error, cause = httpx.ConnectError(""), ssl.SSLError(1, "alert")
    cause.reason = reason
    error.__cause__ = cause

    assert f"http://x does not answer: {words}" == str(await fail(error))


async def test_a_name_that_is_not_known() -> None:
    """A name for which there is no address is told as such, whatever the resolver says of it."""
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert "http://x does not answer: its name is not known here (Name or service not known)" == str(await fail(error))


async def test_a_host_that_cannot_be_reached() -> None:
    """A host of several addresses that all fail is not called refused unless one of them refused."""

    async def attempt(*errors: OSError) -> LookError:
        error = httpx.ConnectError("All connection attempts failed")
        error.__cause__ = ExceptionGroup("all", errors)
        return await fail(error)

    away, closed = OSError(113, "No route to host"), ConnectionRefusedError(111, "Connection refused")
    told = [await attempt(away), await attempt(away, closed)]

    assert [False, True] == [one.refused for one in told]
    assert "connection refused" in str(told[1])
    assert "connection refused" not in str(told[0])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file /nowhere/ca.pem: No such file or directory; correct the path"),
        ({"ca_file": __file__}, f"ca_file {__file__}: not usable (NO_CERTIFICATE_OR_CRL_FOUND); it must be in PEM"),
        ({"ca_file": str(INPUTS)}, f"ca_file {INPUTS}: Is a directory; correct the path or its rights"),
        ({"client_cert_file": "/nowhere/c.pem"}, "client_cert_file /nowhere/c.pem: No such file or directory;"),
        ({"client_cert_file": __file__}, f"client_cert_file {__file__}: not usable ("),
        ({"client_cert_file": OWN, "client_key_file": __file__}, f"client_cert_file {OWN}: not usable ("),
        ({"client_cert_file": ENCRYPTED}, "client_key_file: the key is encrypted; give one without a password"),
    ],
)
def test_files_that_cannot_be_used(settings: dict[str, str], text: str) -> None:
    """A certificate or key that cannot be used is one line: which setting, which file, what to do; nobody is asked."""
    with pytest.raises(SettingsError) as caught:
        client(target(url="https://vllm", **settings))

    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)
