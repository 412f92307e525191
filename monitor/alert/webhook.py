"""Posts the message as JSON to an address."""

from collections.abc import Mapping
from typing import Any

import httpx

from monitor.alert.sink import Options, SinkError

TRY_AGAIN = {httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS}


async def send(message: Mapping[str, Any], options: Options, client: httpx.AsyncClient) -> None:
    """Post once; raises SinkError unless the receiver answers 2xx."""
    try:
        response = await client.post(options.url, json=message)
    except httpx.HTTPError as error:
        raise SinkError(f"{type(error).__name__}: {error}", permanent=False) from None
    if not response.is_success:
        permanent = response.is_client_error and response.status_code not in TRY_AGAIN
        raise SinkError(f"HTTP {response.status_code}", permanent=permanent)
