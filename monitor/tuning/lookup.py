"""What is known of settings, for facts that follow from several of them: a value, or why there is none."""

from collections.abc import Callable, Iterable

from monitor import catalog
from monitor.model import Condition, Fact
from monitor.tuning.rule import NOTHING, IncomparableError, met

UNSET = "unset"
"""How facts say that an argument or a variable was not given."""
ASCEND = catalog.PROCESS_PACKAGE["vllm-ascend"]


class NobodyLookedError(Exception):
    """A fact that another one needs is not there at all: nothing follows, not even that it is unreadable."""


class UntoldError(Exception):
    """What a fact needs cannot be told; the text says what stands in the way."""


class Lookup:
    """Facts by their names. Each question raises NobodyLookedError, or UntoldError where the fact is unreadable."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._facts = {fact.name: fact for fact in facts}

    def get(self, name: str) -> Fact | None:
        """Give a fact, if somebody looked."""
        return self._facts.get(name)

    def tells(self, name: str) -> bool:
        """Tell whether a fact is readable; raises nothing."""
        fact = self._facts.get(name)
        return fact is not None and fact.value is not None

    def value(self, name: str) -> str:
        """Give a fact's value."""
        fact = self._facts.get(name)
        if fact is None:
            raise NobodyLookedError(name)
        if fact.value is None:
            raise UntoldError(fact.why)
        return fact.value

    def number(self, name: str) -> float:
        """Give a fact's value as a number."""
        try:
            return float(self.value(name))
        except ValueError:
            raise UntoldError(f"{name} is no number") from None

    def there(self, name: str) -> bool:
        """Tell whether there is such a thing: a package, or something that was set."""
        return self.value(name) not in NOTHING

    def version(self, name: str, specifier: str) -> bool:
        """Tell whether a version is in a range."""
        try:
            return met(Condition(name, "version", (specifier,)), self.value(name))
        except IncomparableError as error:
            raise UntoldError(str(error)) from None

    def on(self, variable: str) -> bool:
        """Tell whether a variable that is read as a number is set, and not to 0."""
        return self.value(catalog.PROCESS_ENV[variable]) not in {UNSET, "0", "(empty)"}


Ask = Callable[[Lookup], str]
"""Gives the value of a fact that follows from others; raises NobodyLookedError or UntoldError."""


def asked(name: str, ask: Ask, known: Lookup, path: str) -> tuple[Fact, ...]:
    """Make a fact, unreadable where it cannot be told; none where nobody looked."""
    try:
        return (Fact(name, ask(known), path),)
    except UntoldError as error:
        return (Fact(name, None, path, str(error)),)
    except NobodyLookedError:
        return ()
