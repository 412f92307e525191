"""Taking an address to serve on."""

import socket

from monitor.settings import SettingsError

ADDRESS = "127.0.0.1:9877"
"""Where the monitor serves when nobody chose."""
OPTION = "--web.listen-address"
LAST_PORT = 65_535


def listen(address: str, option: str = OPTION) -> socket.socket:
    """Take the address to serve on; raises SettingsError, which names the option, if it cannot be had."""
    host_part, colon, port = address.rpartition(":")
    host_part = host_part.strip("[]")
    if not colon or not port.isdecimal() or int(port) > LAST_PORT:
        raise SettingsError(f"{option} {address}: write it like {ADDRESS}")
    family = socket.AF_INET6 if ":" in host_part else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's delay off only where it is.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host_part or "0.0.0.0", int(port)))  # noqa: S104 - ":9877" means every address, as in Prometheus
        taken.listen()
    except OSError as error:
        taken.close()
        raise SettingsError(f"{option} {address}: {error.strerror}; choose another address") from None
    return taken
