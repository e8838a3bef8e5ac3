"""The tables of `[[ingest]] kind = "modbus"`: a line, the devices on it, and what their registers hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from suat.errors import did_you_mean
from suat.ingest.bus.registers import FIELDS, TYPES
from suat.serial_line import PortName
from suat.tables import Table, host_port

MODBUS_PORT = 502


class RegisterTable(Table):
    """One quantity: value = number * scale + offset, in the field's unit (docs/payload.md)."""

    field: str
    address: Annotated[int, Field(ge=0, le=65_535)]  # as on the wire: 40001 of a manual is 0
    type: Literal["u16", "i16", "u32", "i32", "f32"] = "u16"
    order: Literal["abcd", "dcba", "badc", "cdab"] = "abcd"
    function: Literal[3, 4] = 3  # holding or input registers
    scale: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    offset: Annotated[float, Field(allow_inf_nan=False)] = 0.0

    @field_validator("field")
    @classmethod
    def _is_field(cls, name: str) -> str:
        if name not in FIELDS:
            known = list(FIELDS)
            raise ValueError(f'"{name}" is no field of a reading{did_you_mean(name, known)}; see docs/payload.md')
        return name

    @model_validator(mode="after")
    def _hangs_together(self) -> RegisterTable:
        if self.address + self.words > 65_536:
            raise ValueError(f"{self.type} takes two registers, and {self.address} is the last")
        if self.scale == 0:
            raise ValueError("scale = 0 makes every reading the same")
        return self

    @property
    def words(self) -> int:
        """How many registers it takes."""
        return TYPES[self.type][0]

    @property
    def group(self) -> str:
        """The field's group: what a fault is told of."""
        return self.field.partition(".")[0]


class DeviceTable(Table):
    """One device on the line."""

    device: Annotated[str, Field(min_length=1, max_length=40)]  # the name it is registered by
    unit: Annotated[int, Field(ge=1, le=247)]
    interval_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    registers: Annotated[list[RegisterTable], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _hangs_together(self) -> DeviceTable:
        fields = [entry.field for entry in self.registers]
        for name in dict.fromkeys(fields):
            if fields.count(name) > 1:
                raise ValueError(f'"{name}" is given twice; a reading has one value of each field')
        return self


class ModbusTable(Table):
    kind: Literal["modbus"]
    transport: Literal["rtu", "tcp", "rtu_over_tcp"]  # the last: a plain RS-485 to Ethernet converter
    port: PortName | None = None
    baud: Annotated[int, Field(ge=300, le=921_600)] = 9_600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    host: str | None = None
    timeout_s: Annotated[float, Field(ge=0.05, le=3)] = 1.0  # for one answer
    retries: Annotated[int, Field(ge=0, le=5)] = 1
    devices: Annotated[list[DeviceTable], Field(min_length=1, max_length=247)]

    @property
    def place(self) -> str:
        """Where it is found, for people."""
        return str(self.port or self.host)

    @field_validator("host")
    @classmethod
    def _is_address(cls, host: str | None) -> str | None:
        if host is None:
            return None
        if not host.rpartition("]")[2].count(":"):
            host = f"{host}:{MODBUS_PORT}"
        host_port(host)
        return host

    @model_validator(mode="after")
    def _hangs_together(self) -> ModbusTable:
        if self.transport == "rtu" and (self.port is None or self.host is not None):
            raise ValueError('transport = "rtu" needs port, and no host')
        if self.transport != "rtu" and (self.host is None or self.port is not None):
            raise ValueError(f'transport = "{self.transport}" needs host, and no port')
        names = [entry.device for entry in self.devices]
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                raise ValueError(f'devices: "{name}" is given twice; give each device all its registers in one table')
        return self
