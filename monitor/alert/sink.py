"""What every sink shares: its options and its one kind of failure."""

from dataclasses import dataclass


class SinkError(Exception):
    """A message was not taken. `permanent` means that sending it again soon is pointless."""

    def __init__(self, text: str, *, permanent: bool) -> None:
        super().__init__(text)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator set for one sink; `url` is a secret, because webhooks carry tokens in it."""

    kind: str
    url: str = ""
