"""HTTP reads with a bound on what they may bring in."""

import ssl
from dataclasses import dataclass

import httpx

LARGEST = 16 * 2**20
"""Bytes of an answer that are read at most: 64 engines' expositions fit, a runaway one does not fill our memory."""


WORDS = {"All connection attempts failed": "connection refused; does vLLM listen there?"}
"""What httpx says, in words that help."""


class LookError(Exception):
    """A look could not be made; the text says what stands in the way, for a person."""


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
        raise LookError(f"{client.base_url} does not answer: {_words(error)}") from None


def _words(error: BaseException) -> str:
    """Find words for an error that may have none of its own."""
    cause: BaseException | None = error
    while cause is not None and not str(cause):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({cause.reason}); does it speak http rather than https?"
    words = str(cause) if cause else type(error).__name__
    return WORDS.get(words, words)
