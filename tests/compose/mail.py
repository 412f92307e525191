"""What the receiver got, told apart by sender: Alertmanager's groups of alerts and the monitor's own messages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Mail:
    """All that was received, in the order it came."""

    alertmanager: tuple[Mapping[str, Any], ...]
    monitor: tuple[Mapping[str, Any], ...]

    @property
    def firing(self) -> frozenset[str]:
        """The alerts that fire by Alertmanager's last message."""
        return self._named("firing", self.alertmanager[-1:])

    @property
    def fired(self) -> frozenset[str]:
        """The alerts that Alertmanager ever told of."""
        return self._named("firing", self.alertmanager)

    @property
    def groups(self) -> frozenset[str]:
        """The groups of alerts: a pager makes one incident of each."""
        return frozenset(message["groupKey"] for message in self.alertmanager)

    @property
    def open(self) -> tuple[str, ...]:
        """The troubles that the monitor's own messages leave open, each as often as it was told without an end."""
        told: list[str] = []
        for message in self.monitor:
            if message["status"] == "firing":
                told.append(message["key"])
            else:
                told.remove(message["key"])
        return tuple(told)

    @staticmethod
    def _named(status: str, messages: Iterable[Mapping[str, Any]]) -> frozenset[str]:
        alerts = (alert for message in messages for alert in message["alerts"])
        return frozenset(alert["labels"]["alertname"] for alert in alerts if alert["status"] == status)


def sorted_out(kept: Iterable[Mapping[str, Any]]) -> Mail:
    """Sort what the receiver kept by the path it came to."""
    by: dict[str, list[Mapping[str, Any]]] = {"/alertmanager": [], "/monitor": []}
    for one in kept:
        by[one["path"]].append(one["message"])
    return Mail(tuple(by["/alertmanager"]), tuple(by["/monitor"]))
