"""Where a server listens: an address of this machine, had before anything is begun there."""

import errno
import socket

from runstone.errors import NoSuchAddress, PortInUse


def bind(host: str, port: int) -> socket.socket:
    """A socket at this address, on which nothing is accepted yet; raises `PortInUse` and `NoSuchAddress`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise NoSuchAddress(host, getattr(error, "strerror", None) or str(error)) from None
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        with socket.socket(family, kind, protocol) as probe:  # two sockets may be bound, as long as neither listens
            probe.settimeout(1)
            if port and not probe.connect_ex(bound.getsockname()[:2]):
                raise OSError("another program listens there")
    except (OSError, OverflowError) as error:
        bound.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
            raise NoSuchAddress(host, error.strerror or str(error)) from None
        raise PortInUse(host, port, getattr(error, "strerror", None) or str(error)) from None
    return bound


def address_of(bound: socket.socket) -> str:
    """The address to ask a server at."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"
