"""How one vLLM server is reached: its address or its socket, its key, whom TLS trusts."""

import os
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from monitor.settings_kinds import Duration, Secret, Section, SettingsError, secret_of_file

DEFAULT_URL = "http://localhost:8000"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
SOCKET = "unix:"
"""What the address of a socket begins with, where it stands for a server: on the command line and in messages."""
LONGEST_SOCKET = 107
"""Bytes that Linux has for the path of a socket."""


def address(url: str) -> str:
    """Refuse what is no address, and credentials in one: addresses are shown in metrics and logs."""
    if not re.fullmatch(r"https?://[^/\s@?#]+(/[^\s@?#]*)?", url):
        raise ValueError("not an address: write it like http://localhost:8000; credentials go into api_key_file")
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError("not an address: its port is no number up to 65535") from None
    return url.rstrip("/")


def socket(path: str) -> str:
    """Refuse what cannot be the path of a UNIX socket."""
    if path and not path.startswith("/"):
        raise ValueError("not the path of a socket: write it like /run/vllm.sock")
    if len(os.fsencode(path)) > LONGEST_SOCKET or "\x00" in path:
        raise ValueError(f"not the path of a socket: it can have {LONGEST_SOCKET} bytes at most")
    return path


Url = Annotated[str, AfterValidator(address)]
NodeUrl = Annotated[str, AfterValidator(lambda url: address(url) if url else "")]
Socket = Annotated[str, AfterValidator(socket)]


class Target(Section):
    """One vLLM server to watch."""

    url: Url = DEFAULT_URL
    uds: Socket = ""
    api_key: Secret = SecretStr("")
    api_key_file: str = ""
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    model: str = ""
    local: Literal["auto", "yes", "node", "no"] = "auto"
    log_file: str = ""
    mlnode_url: NodeUrl = ""
    startup_grace: Duration = Field(1800.0)

    @model_validator(mode="after")
    def _tls_is_spoken(self) -> "Target":
        files = {"ca_file": self.ca_file, "client_cert_file": self.client_cert_file}
        files["client_key_file"] = self.client_key_file
        if (named := [key for key, file in files.items() if file]) and not self.url.startswith("https:"):
            raise ValueError(f'{named[0]} is for TLS: write url = "https://..." or leave it out')
        if self.client_key_file and not self.client_cert_file:
            raise ValueError("client_key_file without client_cert_file: name the certificate, too")
        return self

    @property
    def shown(self) -> str:
        """The address as an operator would name it: the socket, where there is one."""
        return f"{SOCKET}{self.uds}" if self.uds else self.url

    @property
    def endpoint(self) -> str:
        """The address that a baseline is captured for; the loopback's names are one, however they are spelt."""
        parts = urlsplit(self.url)
        if self.uds:
            return f"{self.shown}{parts.path}"
        port = f":{parts.port}" if parts.port else ""
        host = "localhost" if parts.hostname in LOOPBACK else parts.hostname
        return f"{parts.scheme}://{host}{port}{parts.path}"

    def key(self) -> str:
        """Read the API key; raises SettingsError if it cannot be read or sent."""
        key, origin = self.api_key.get_secret_value(), "api_key"
        if self.api_key_file:
            key, origin = secret_of_file("api_key_file", self.api_key_file), f"api_key_file {self.api_key_file}"
        if not (key.isascii() and key.isprintable()):
            raise SettingsError(f"{origin}: not a key: it must be one line of plain ASCII characters")
        return key


def reached(where: str) -> Target:
    """Make the target that an address on the command line means; raises pydantic's error if it is none."""
    if not where.startswith(SOCKET):
        return Target(url=where)
    path = where.removeprefix(SOCKET)
    return Target(uds=re.sub("^/+", "/", path) or where)
