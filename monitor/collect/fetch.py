"""HTTP reads with a bound on what they may bring in, and errors in words that help."""

import errno
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

LARGEST = 16 * 2**20
"""Bytes of an answer that are read at most: 64 engines' expositions fit, a runaway one does not fill our memory."""

HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError, BrokenPipeError)
"""Which of these it is, and with which words, depends on the server and on the version of Python."""
NO_AUTHORITY = {18, 19, 20, 21}
"""How OpenSSL numbers what a certificate lacks that nobody here vouches for: self-signed, or an unknown issuer."""
WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA")
"""How a server refuses a client without a certificate, or with one that it does not trust, as OpenSSL has it."""
MAY_WANT = "does it speak http rather than https, or want a certificate of ours (client_cert_file)?"
MAY_SPEAK = "did it just end, or does it speak https?"
REFUSED = "connection refused; does vLLM listen there?"
NAMELESS = "its name is not known here"
SOCKET_ERRORS = {
    errno.ENOENT: "no such socket; does vLLM run with --uds, and is its folder mounted here?",
    errno.ECONNREFUSED: "connection refused; does vLLM run?",
    errno.EACCES: "permission denied; run as vLLM's user, or let its group write to the socket",
}


class LookError(Exception):
    """A look could not be made; the text says what stands in the way, for a person.

    `refused` says that nothing listens there, which is surer than silence.
    """

    refused = False


class RefusedError(LookError):
    """Nothing listens at the address."""

    refused = True


class SocketError(httpx.ConnectError):
    """A server's UNIX socket cannot be opened; the text names it."""

    @classmethod
    def of(cls, uds: str, error: httpx.ConnectError) -> "SocketError":
        """Say of which socket an error is, and what to do about it."""
        numbers = (cause.errno for cause in _causes(error) if isinstance(cause, OSError))
        words = next((SOCKET_ERRORS[number] for number in numbers if number in SOCKET_ERRORS), str(error))
        return cls(f"unix:{uds} does not answer: {words}")


class Transport(httpx.AsyncHTTPTransport):
    """The way to one server: over TCP, or through a UNIX socket, which its errors then name."""

    def __init__(self, uds: str, tls: ssl.SSLContext, limits: httpx.Limits) -> None:
        super().__init__(verify=tls, limits=limits, uds=uds or None, trust_env=False)
        self._uds = uds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises httpx's errors."""
        try:
            return await super().handle_async_request(request)
        except httpx.ConnectError as error:
            if not self._uds:
                raise
            raise SocketError.of(self._uds, error) from error


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of an HTTP answer that looks use; `moved` is where a redirection leads."""

    status: int
    text: str
    moved: str = ""


async def get(client: httpx.AsyncClient, path: str, params: dict[str, list[str]] | None = None) -> Answer:
    """Read a path of the client's server.

    Raises:
        LookError: no connection, or more than 16 MiB.
    """
    try:
        async with client.stream("GET", path, params=params) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > LARGEST:
                    raise LookError(f"{path} answered more than {LARGEST >> 20} MiB; is this a vLLM server?")
            return Answer(response.status_code, body.decode(errors="replace"), response.headers.get("location", ""))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        kind = RefusedError if _is_refused(error) else LookError
        if isinstance(error, SocketError):
            raise kind(str(error)) from None
        words = _words(error, tls=client.base_url.scheme == "https")
        raise kind(f"{client.base_url} does not answer: {words}") from None


def _is_refused(error: BaseException) -> bool:
    gone = (ConnectionRefusedError, FileNotFoundError)
    return isinstance(error, httpx.ConnectError) and any(isinstance(cause, gone) for cause in _causes(error))


def _words(error: BaseException, *, tls: bool) -> str:
    """Find words for an error that may have none of its own, or only what was meant for programmers."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return f"{NAMELESS} ({cause.strerror})"
    # A server that misses a certificate should say so; which of these it does instead depends on the server.
    if any(isinstance(cause, HUNG_UP) or "disconnected" in str(cause) for cause in causes):
        return f"it hung up; {MAY_WANT if tls else MAY_SPEAK}"
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls_words(cause)
    if isinstance(error, httpx.TimeoutException):
        return "it takes too long"
    if _is_refused(error):
        return REFUSED
    told = [text for text in map(str, causes) if text and text != "All connection attempts failed"]
    return told[0] if told else type(error).__name__


def _tls_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        own = error.verify_code in NO_AUTHORITY
        advice = "; name its issuer's file in ca_file, or in the variable SSL_CERT_FILE" if own else ""
        return f"its certificate is not trusted ({error.verify_message}){advice}"
    if any(word in str(error.reason) for word in WANTS_CERTIFICATE):
        return f"it refuses us without a certificate that it trusts ({error.reason}); set client_cert_file"
    return f"TLS failed ({error.reason}); does it speak http rather than https?"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk from an error to what it came of; a host of several addresses fails once for each."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__
