"""What every table of the configuration file is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class Table(BaseModel):
    """A table of the file: an unknown key is a fault, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Names(Table):
    """A name in the languages of the board page."""

    en: Annotated[str, Field(min_length=1, max_length=60)]
    ru: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    kk: Annotated[str, Field(min_length=1, max_length=60)] | None = None

    def in_language(self, language: str) -> str:
        """The name in `language`, English where it is missing."""
        return {"ru": self.ru, "kk": self.kk}.get(language) or self.en


def host_port(address: str) -> tuple[str, int]:
    """Split "127.0.0.1:1700" or "[::1]:1700"; ValueError when it is not of that form."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f'"{address}" is not HOST:PORT, such as 127.0.0.1:1700')
    return host.strip("[]"), int(port)


class Bound(Table):
    bind: str

    @property
    def place(self) -> str:
        """Where it is found, for people."""
        return self.bind

    @field_validator("bind")
    @classmethod
    def _is_address(cls, bind: str) -> str:
        host_port(bind)
        return bind
