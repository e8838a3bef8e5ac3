"""The table of the configuration that says where the board page is, and for whom: [board]."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from suat.tables import Bound, Table, host_port

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# What the station's own CA may vouch for (show/tls.py): addresses that nobody on the internet has, and .local names.
PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "fc00::/7",
        "::1/128",
    )
)
LOCAL = "local"


def _is_own(name: str) -> str:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        labels = name.split(".")
        if len(labels) < 2 or labels[-1] != LOCAL or not all(map(_LABEL.fullmatch, labels)):
            raise ValueError(
                f'"{name}" is no private address and no name that ends in .{LOCAL}, in small letters'
            ) from None
        return name
    if not any(address in network for network in PRIVATE):
        raise ValueError(f'"{name}" is an address of the internet; the board page is for the pasture\'s own network')
    return str(address)


class BoardTable(Bound, Table):
    bind: str = "127.0.0.1:8080"
    tls: bool = False  # HTTPS with the station's own CA
    names: Annotated[list[Annotated[str, AfterValidator(_is_own)]], Field(max_length=16)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _can_be_named(self) -> BoardTable:
        if self.tls and not self.hosts:
            raise ValueError(
                'tls needs names: how tablets call the station, such as names = ["192.168.50.1", "suat.local"]'
            )
        if self.tls and not self.names:
            _is_own(self.hosts[0])
        return self

    @property
    def hosts(self) -> list[str]:
        """What the certificate is made out to."""
        host, _ = host_port(self.bind)
        return self.names or ([] if host in ("0.0.0.0", "::") else [host])

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        host, port = host_port(self.bind)
        name = self.names[0] if self.names else host
        return f"{'https' if self.tls else 'http'}://{f'[{name}]' if ':' in name else name}:{port}/"
