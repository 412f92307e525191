"""HTTP reads with a bound on what they may bring in."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

LARGEST = 16 * 2**20
"""Bytes of an answer that are read at most: 64 engines' expositions fit, a runaway one does not fill our memory."""


WORDS = {"All connection attempts failed": "connection refused; does vLLM listen there?"}
"""What httpx says, in words that help."""
HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""Which of these two it is, and with which words, depends on the version of Python."""
NO_AUTHORITY = {18, 19, 20, 21}
"""How OpenSSL numbers what a certificate lacks that nobody here vouches for: self-signed, or an unknown issuer."""


class LookError(Exception):
    """A look could not be made; the text says what stands in the way, for a person.

    `refused` says that nothing listens there, which is surer than silence.
    """

    refused = False


class RefusedError(LookError):
    """Nothing listens at the address."""

    refused = True


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of an HTTP answer that looks use."""

    status: int
    text: str


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
            return Answer(response.status_code, body.decode(errors="replace"))
    except httpx.HTTPError as error:
        kind = RefusedError if str(error) in WORDS else LookError
        raise kind(f"{client.base_url} does not answer: {_words(error)}") from None


def _words(error: BaseException) -> str:
    """Find words for an error that may have none of its own, or only what was meant for programmers."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            advice = "; name its issuer's file in SSL_CERT_FILE" if cause.verify_code in NO_AUTHORITY else ""
            return f"its certificate is not trusted ({cause.verify_message}){advice}"
        if isinstance(cause, ssl.SSLError):
            why = "it hung up" if isinstance(cause, HUNG_UP) else cause.reason
            return f"TLS failed ({why}); does it speak http rather than https?"
    words = next(filter(None, map(str, causes)), type(error).__name__)
    return WORDS.get(words, words)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
