"""What is told of a node's NPUs whoever was asked: products, driver, health, and which of them serve."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass

from monitor import catalog
from monitor.collect.ascend.processes import Process, used
from monitor.collect.fetch import LookError
from monitor.model import Fact

VENDOR = "ascend"
EXTRA = {
    catalog.DEVICE_UNIT_UTILIZATION: "unit",
    catalog.DEVICE_ECC_ERRORS: "reason",
    catalog.DEVICE_THROTTLED: "reason",
}
"""Metrics of which a device has several figures, and the label that tells them apart."""

Served = Callable[[frozenset[int]], Awaitable[frozenset[int]]]
"""Gives those of some processes that are vLLM's; raises LookError where that cannot be known."""


async def nobody(pids: frozenset[int]) -> frozenset[int]:
    """Know no process to be vLLM's."""
    return pids & frozenset()


@dataclass(frozen=True, slots=True)
class Origin:
    """Who was asked: `name` for the fact, `path` as where facts are from."""

    name: str
    path: str


def common(origin: Origin, products: Iterable[str], driver: Fact, healths: Iterable[str]) -> tuple[Fact, ...]:
    """Give the facts of all devices; `healths` has a word for each of them, "" where none is known."""
    counted = Counter(products)
    return (
        Fact(catalog.ASCEND_SOURCE, origin.name, origin.path),
        Fact(
            catalog.ASCEND_DEVICES, ", ".join(f"{n}x {product}" for product, n in sorted(counted.items())), origin.path
        ),
        driver,
        tallied(catalog.ASCEND_HEALTH, healths, origin.path, "no device tells its health"),
    )


def tallied(name: str, words: Iterable[str], path: str, why: str) -> Fact:
    """Give one word only if every device tells it and all agree, else each word with its count."""
    told = list(words)
    count = Counter(word for word in told if word)
    if not count:
        return Fact(name, None, path, why)
    agreed = max(count.values()) == len(told)
    return Fact(name, ",".join(word if agreed else f"{word}={n}" for word, n in sorted(count.items())), path)


async def serving(found: Collection[Process], names: Collection[str], served: Served, path: str) -> Fact:
    """Say which devices vLLM's processes use."""
    if not found:
        return Fact(catalog.ASCEND_SERVED, None, path, "no process is listed on any device")
    try:
        known = await served(frozenset[int]().union(*(process.pids for process in found)))
        why = "none of the listed processes is known as vLLM's: their numbers are the host's, so mount its /proc \
and set [host] procfs"
    except LookError as error:
        known, why = frozenset(), str(error)
    theirs = used(found, known, names)
    return Fact(catalog.ASCEND_SERVED, ",".join(theirs) or None, path, "" if theirs else why)
