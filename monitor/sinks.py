"""What [alert.sink] becomes: for `serve`, which needs all of them, and for the doctor, who asks one by one."""

from collections.abc import Iterator

from monitor.alert.registry import fault
from monitor.alert.sink import Options
from monitor.settings import Settings, SettingsError, Sink


def sinks(settings: Settings) -> dict[str, Options]:
    """Hand the sinks' options over; their secrets go nowhere else.

    Raises SettingsError, one line for each sink that cannot be used here.
    """
    if wrong := list(_wrong(settings)):
        raise SettingsError("\n".join(wrong))
    return {name: options(sink) for name, sink in settings.alert.sink.items()}


def options(sink: Sink) -> Options:
    """Hand one sink's options over; raises SettingsError if its secret cannot be read, or its kind is not here."""
    made = Options(sink.kind, sink.url.get_secret_value(), sink.signing_secret())
    if why := fault(made):
        raise SettingsError(why)
    return made


def _wrong(settings: Settings) -> Iterator[str]:
    for name, sink in settings.alert.sink.items():
        try:
            options(sink)
        except SettingsError as error:
            yield f"alert.sink.{name}: {error}"
