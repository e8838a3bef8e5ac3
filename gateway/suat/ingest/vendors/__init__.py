"""Payloads of other vendors' nodes as tables: where each number lies, what unit it has, when it is no reading.

A vendor is one file with the tables of its models, each with the page it was made from. `VENDORS` names them all.
"""

from __future__ import annotations

from suat.ingest.vendors import dragino, milesight
from suat.ingest.vendors.form import Decoded as Decoded
from suat.ingest.vendors.form import Form
from suat.ingest.vendors.form import decode as decode

VENDORS: dict[str, Form] = {**dragino.MODELS, **milesight.MODELS}
