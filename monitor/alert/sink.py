"""What every sink shares: its options and its one kind of failure."""

from dataclasses import dataclass, field


class SinkError(Exception):
    """A message was not taken. `permanent` means that sending it again soon is pointless."""

    def __init__(self, text: str, *, permanent: bool) -> None:
        super().__init__(text)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator set for one sink; `url` is a secret, because webhooks carry tokens in it.

    `secret` signs what a webhook is sent; empty signs nothing.
    """

    kind: str
    url: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)


TRY_AGAIN = {408, 429}
"""Statuses of the receiver's that are no refusal: it is slow, or asks for patience."""


def refused(status: int) -> SinkError:
    """Make the failure that an HTTP status means: what the receiver calls our mistake is for good."""
    return SinkError(f"HTTP {status}", permanent=400 <= status < 500 and status not in TRY_AGAIN)  # noqa: PLR2004 - HTTP's
