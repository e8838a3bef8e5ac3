"""What a source of frames is, and how the station finds one.

Adding a source is one file, `suat/ingest/KIND.py`, with the table of its options and a factory that carries
`@source("KIND", TABLE)`: a table `[[ingest]]` with that kind in the configuration then opens it. The file is loaded
with every configuration, so what is slow to import is imported where it is used.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, Union

from pydantic import Field

from suat.clock import Scheduler
from suat.errors import UsageError, did_you_mean
from suat.records import Downlink, Measured, Relayed, SendResult, Uplink
from suat.tables import Table

# Each frame that comes in is counted as `received` and then as exactly one of the others.
COUNTERS = ("received", "accepted", "duplicate", "bad_mic", "unknown_device", "old_counter", "malformed")


def new_counters() -> dict[str, int]:
    """The link's counters at zero."""
    return dict.fromkeys(COUNTERS, 0)


def take_counters(counters: dict[str, int]) -> dict[str, int]:
    """What was counted since the last call, for `records.Batch.counters`; the counters are zero afterwards."""
    taken = {name: count for name, count in counters.items() if count}
    for name in taken:
        counters[name] = 0
    return taken


class Source(Protocol):
    """Brings uplinks and takes downlinks. All its calls are on the scheduler's thread."""

    name: str  # unique in the station; stands in each `Uplink.source`

    async def start(self) -> None:
        """Open what it listens to; OSError or SuatError when it can't."""

    async def stop(self) -> None:
        """Close it; afterwards no uplink comes."""

    def send_downlink(self, downlink: Downlink) -> bool:
        """Hand a downlink to its gateway; False when there is no way to it. The gateway's verdict comes later."""

    def send_payload(self, dev_eui: str, fport: int, payload: bytes) -> bool:
        """Hand a payload to a node whose session another server keeps; False when there is no way to it."""


def _nowhere(_what: Relayed | Measured) -> None:
    """For a station that only takes frames."""


def _no_verdict(_downlink: Downlink, _result: SendResult) -> None:
    """For a station that only listens."""


def _unnoticed(_gateway: str) -> None:
    """For a station that waits for no other gateway's copies."""


def no_clock(_gateway: str, _told_us: int) -> None:
    """For a station whose time is known."""


@dataclass(frozen=True, slots=True)
class Ingress:
    """Where a source leaves what it hears: the pipeline's first stage, seen from outside."""

    scheduler: Scheduler
    on_uplink: Callable[[Uplink], None]
    on_downlink_result: Callable[[Downlink, SendResult], None] = _no_verdict
    counters: dict[str, int] = field(default_factory=new_counters)
    on_relayed: Callable[[Relayed], None] = _nowhere
    on_measured: Callable[[Measured], None] = _nowhere
    region: str = "IN865"
    on_gateway_time: Callable[[str, int], None] = no_clock  # a gateway's own time of a frame just heard [UTC us]
    on_gateway: Callable[[str], None] = _unnoticed  # a gateway showed that it is there, with a frame or without


Factory = Callable[[Any, Ingress], Source]
_factories: dict[str, Factory] = {}
_tables: dict[str, type[Table]] = {}


def source(kind: str, table: type[Table]) -> Callable[[Factory], Factory]:
    """Register a kind of source: its `table` in the configuration, and `factory(that table, ingress)`."""

    def register(factory: Factory) -> Factory:
        _factories[kind] = factory
        _tables[kind] = table
        return factory

    return register


def kinds() -> list[str]:
    """The kinds of sources there are: the files of this folder."""
    package = importlib.import_module("suat.ingest")
    return sorted(
        found.name for found in pkgutil.iter_modules(package.__path__) if found.name != "base" and not found.ispkg
    )


def tables() -> Any:
    """The type of an entry of `[[ingest]]`: the table of any kind, told by its `kind`."""
    for kind in kinds():
        importlib.import_module(f"suat.ingest.{kind}")
    found = tuple(_tables[kind] for kind in kinds())
    return Annotated[Union[found], Field(discriminator="kind")] if len(found) > 1 else found[0]  # noqa: UP007


def region_faults(entries: Iterable[Any], region: str) -> list[str]:
    """What `[[ingest]]` tables want that the region has not; a table says so in `region_fault`."""
    told = [(entry.kind, getattr(entry, "region_fault", lambda _region: None)(region)) for entry in entries]
    return [f'ingest "{kind}".{fault}' for kind, fault in told if fault is not None]


def open_source(table: Any, ingress: Ingress) -> Source:
    """The source that a table of the configuration asks for, not yet started; UsageError when there is no such kind."""
    kind = table.kind
    if kind not in kinds():
        raise UsageError(
            f'ingest: there is no kind "{kind}"{did_you_mean(kind, kinds())}; known are {", ".join(kinds())}'
        )
    importlib.import_module(f"suat.ingest.{kind}")
    return _factories[kind](table, ingress)
