"""Whether an address leads to this very computer, in every spelling that a connection accepts."""

import ipaddress
import re
import socket
from typing import Final
from urllib.parse import urlsplit

# Names that RFC 6761, section 6.3, or the usual hosts files give to this computer.
_NAME: Final = re.compile(
    r"(.+\.)?localhost|localhost6?\.localdomain6?|localhost6|ip6-(localhost|loopback)"
)
_THIS_COMPUTER: Final = (
    ipaddress.IPv4Network("127.0.0.0/8"),
    ipaddress.IPv4Network("0.0.0.0/8"),  # a connection to 0.0.0.0 ends here
)
# ``::`` and ``::1`` too hold an IPv4 address in this sense: 0.0.0.0 and 0.0.0.1.
_HOLD_IPV4: Final = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("::ffff:0:0/96"))


def leads_here(url: str) -> bool:
    """Whether the host of a URL is this computer, by its name alone: nothing is looked up.

    Unlike the test for plain http in :func:`wire.check_endpoint`, which admits a few spellings,
    this one finds all: also ``0.0.0.0``, ``127.1``, ``2130706433``, ``0x7f.1`` and
    ``::ffff:127.0.0.1``, which sockets take for loopback.
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    if _NAME.fullmatch(host):
        return True
    try:
        address = _address(host)
    except (OSError, ValueError):
        return False  # a name
    return any(address in network for network in _THIS_COMPUTER)


def _address(host: str) -> ipaddress.IPv4Address:
    """The IPv4 address that a host is, or holds; else an error."""
    if ":" not in host:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    address = ipaddress.IPv6Address(host)
    if not any(address in network for network in _HOLD_IPV4):
        raise ValueError
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
