"""Posts the message as JSON to an address, signed where a secret is set."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx

from monitor.alert.sink import Options, SinkError, refused

SIGNATURE = "X-Vllm-Monitor-Signature"


async def send(message: Mapping[str, Any], options: Options, client: httpx.AsyncClient) -> None:
    """Post once; raises SinkError unless the receiver answers 2xx."""
    body = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json"}
    if options.secret:
        headers[SIGNATURE] = signature(options.secret, int(time.time()), body)
    try:
        response = await client.post(options.url, content=body, headers=headers)
    except httpx.InvalidURL:  # its text may be a part of the secret
        raise SinkError("url is no address", permanent=True) from None
    except httpx.HTTPError as error:
        raise SinkError(f"{type(error).__name__}: {error}", permanent=False) from None
    if not response.is_success:
        raise refused(response.status_code)


def signature(secret: str, at: int, body: bytes) -> str:
    """Sign the bytes of a body together with when they are sent (Unix seconds), so that neither can be changed."""
    mac = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"
