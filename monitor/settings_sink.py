"""Where flips are told beside /metrics: one sink, its address and its secrets."""

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr, model_validator

from monitor.settings_kinds import Secret, Section, SettingsError, secret_of_file


class Sink(Section):
    """Where flips are told; `url` is a secret, because such addresses carry tokens."""

    kind: Literal["webhook", "apprise", "log"]
    url: Secret = SecretStr("")
    secret: Secret = SecretStr("")
    secret_file: str = ""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> "Sink":
        url = self.url.get_secret_value()
        if self.kind == "webhook" and not _is_web(url):
            raise ValueError('a webhook needs url = "https://..."')
        if self.kind == "apprise" and not re.match(r"[A-Za-z][A-Za-z0-9]*://[^\s]", url):
            raise ValueError('apprise needs url = "SERVICE://...", as its documentation writes the service')
        if self.kind != "webhook" and (self.secret.get_secret_value() or self.secret_file):
            raise ValueError("only webhooks are signed: leave secret and secret_file out")
        return self

    def signing_secret(self) -> str:
        """Read the secret that messages are signed with, "" where none is set; raises SettingsError if it is no use."""
        if not self.secret_file:
            return self.secret.get_secret_value()
        secret = secret_of_file("secret_file", self.secret_file)
        if not secret:
            raise SettingsError(f"secret_file {self.secret_file}: it is empty; write the secret into it")
        return secret


def _is_web(url: str) -> bool:
    if not re.match(r"https?://[^/\s]+", url):
        return False
    try:
        return urlsplit(url).port != 0
    except ValueError:  # its text may be a part of a password
        return False
