"""Where the page can be found: by the browser of this machine, and by others."""

import socket

EVERYWHERE = {"0.0.0.0": "localhost", "::": "::1"}  # all interfaces, and the name of this machine among them


def check_host(host: str) -> None:
    """Make sure that a server can listen at this address.

    Raises:
        ValueError: It is no address of this machine.
    """
    try:
        if not host:
            raise OSError("it is empty")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise ValueError(
            f"the page cannot listen at '{host}' ({error}); expected 127.0.0.1 (this machine alone), 0.0.0.0 "
            "(everybody who can reach it) or another address of this machine"
        ) from error


def page_url(host: str, port: int) -> str:
    """Give the address for a browser on this machine."""
    host = EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def url_for_others(host: str, port: int) -> str | None:
    """Give the address for browsers on other machines; None where the page listens to this machine alone."""
    if host in EVERYWHERE:
        return page_url(_own_address(socket.AF_INET6 if ":" in host else socket.AF_INET), port)
    return None if host in {"localhost", "::1"} or host.startswith("127.") else page_url(host, port)


def _own_address(family: socket.AddressFamily) -> str:
    """This machine's address on the way to others; its name where there is no such way."""
    elsewhere = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # reserved for documentation
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))  # chooses the interface; nothing is sent
        except OSError:
            return socket.gethostname()
        address: str = probe.getsockname()[0]
        return address
