"""HTTP reads with a bound on what they may bring in."""

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
        words = str(error) or type(error).__name__
        raise LookError(f"{client.base_url} does not answer: {WORDS.get(words, words)}") from None
