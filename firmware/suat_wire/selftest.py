"""Reproduce the golden frames of vectors.json on whatever interpreter this is: `python -m suat_wire.selftest`.

A board can run it too, with the path of a copied vectors.json as argument.
"""

import json
import sys
from binascii import hexlify, unhexlify

from suat_wire import commands, lorawan, payload
from suat_wire.aes import Aes
from suat_wire.airtime import time_on_air_us

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _hex(data: bytes) -> str:
    return hexlify(data).decode()


def check_data(v: "dict[str, Any]") -> bool:
    """A data frame is built to the byte, and read back with its MIC verified."""
    nwk, app = Aes(unhexlify(v["nwk_skey"])), Aes(unhexlify(v["app_skey"]))
    plain, fopts, fcnt, addr = unhexlify(v["payload"]), unhexlify(v["fopts"]), v["fcnt"], int(v["dev_addr"], 16)
    flags = (v["adr"], v["adr_ack_req"], v["ack"], v["pending"])
    phy = lorawan.seal(nwk, app, v["mtype"], addr, fcnt, v["fport"], plain, fopts, *flags)
    frame = lorawan.parse_data(phy)
    read = (frame.mtype, frame.dev_addr, frame.fport, frame.fopts, lorawan.open_payload(nwk, app, frame, fcnt))
    return (
        _hex(phy) == v["phy"]
        and lorawan.mic_ok(nwk, frame, fcnt)
        and not lorawan.mic_ok(nwk, frame, fcnt ^ 0x10000)
        and read == (v["mtype"], addr, v["fport"], fopts, plain)
        and (frame.adr, frame.adr_ack_req, frame.ack, frame.pending) == flags
        and lorawan.infer_fcnt(frame.fcnt16, max(0, fcnt - 100)) == fcnt
    )


def check_join(v: "dict[str, Any]") -> bool:
    """Join request, join accept (made on CPython only) and the session keys that follow from them."""
    app_key = Aes(unhexlify(v["app_key"]))
    euis = (unhexlify(v["join_eui"]), unhexlify(v["dev_eui"]))
    request = lorawan.join_request(app_key, euis[0], euis[1], v["dev_nonce"])
    accept = unhexlify(v["accept"])
    got = lorawan.parse_join_accept(app_key, accept)
    fields = (v["join_nonce"], v["net_id"], int(v["dev_addr"], 16), v["dl_settings"], v["rx_delay"])
    keys = lorawan.session_keys(app_key, v["join_nonce"], v["net_id"], v["dev_nonce"])
    return (
        _hex(request) == v["request"]
        and tuple(lorawan.parse_join_request(request)) == (euis[0], euis[1], v["dev_nonce"])
        and lorawan.join_request_mic_ok(app_key, request)
        and tuple(got) == fields + (unhexlify(v["cflist"]),)
        and (not hasattr(app_key, "decrypt") or lorawan.join_accept(app_key, *got) == accept)
        and [_hex(key) for key in keys] == [v["nwk_skey"], v["app_skey"]]
    )


def samples_of(v: "dict[str, Any]") -> "list[payload.Sample]":
    """Samples as vectors.json writes them: readings by "group.field"."""
    return [
        payload.Sample(s["record"], s["age"], {tuple(key.split(".")): s["readings"][key] for key in s["readings"]})
        for s in v["samples"]
    ]


def check_payload(v: "dict[str, Any]") -> bool:
    """Samples give these bytes, the bytes these samples, and both take as much room as was said."""
    samples, data, ack_from = samples_of(v), unhexlify(v["data"]), v["ack_from"]
    asked, rows = payload.split(data, v["fport"], v["near"])
    return (
        payload.encode(samples, len(data), ack_from) == (data, v["fport"])
        and payload.fit(samples, len(data), ack_from) == len(samples)
        and payload.fit(samples, len(data) - 1, ack_from) == len(samples) - 1
        and payload.decode(data, v["fport"], v["near"]) == samples
        and asked == ack_from
        and [payload.unpack(row[2]) for row in rows] == [sample.readings for sample in samples]
        and [payload.pack(sample.readings) for sample in samples] == [row[2] for row in rows]
    )


def check_bad_payload(v: "dict[str, Any]") -> bool:
    """Bytes that must be refused, each for the reason in its name."""
    try:
        payload.split(unhexlify(v["data"]), v["fport"])
    except payload.PayloadError:
        return True
    return False


def check_ack(v: "dict[str, Any]") -> bool:
    """FPort 4, with the records that it names."""
    data = payload.encode_ack(v["cumulative"], unhexlify(v["bitmap"]))
    ack = payload.decode_ack(unhexlify(v["data"]))
    named = [record for record in range(v["first"], v["first"] + 80) if payload.acknowledged(record, *ack)]
    return [_hex(data), ack, named] == [v["data"], (v["cumulative"], unhexlify(v["bitmap"])), v["named"]]


def check_config(v: "dict[str, Any]") -> bool:
    """FPort 5."""
    built, read = payload.encode_config(v["settings"]), payload.decode_config(unhexlify(v["data"]))
    return [_hex(built), read] == [v["data"], v["settings"]]


def check_commands(v: "dict[str, Any]") -> bool:
    """MAC commands, each built from its fields and taken apart again."""
    built = b"".join([commands.build(c["cid"], v["direction"], **c["fields"]) for c in v["commands"]])
    parsed = commands.parse(unhexlify(v["data"]), v["direction"])
    read = [{"cid": cid, "fields": commands.fields(cid, v["direction"], args)} for cid, args in parsed]
    return [_hex(built), read] == [v["data"], v["commands"]]


def check_airtime(v: "dict[str, Any]") -> bool:
    """Time on air as the vendor's calculator gives it."""
    time_us = time_on_air_us(v["sf"], v["bw_hz"], v["length"], v["crc"], v["cr"], v["preamble"], v["explicit"])
    return bool(time_us == v["time_us"])


CHECKS = {
    "data": check_data,
    "join": check_join,
    "payload": check_payload,
    "bad_payload": check_bad_payload,
    "ack": check_ack,
    "config": check_config,
    "commands": check_commands,
    "airtime": check_airtime,
}


def failures(path: str) -> "tuple[int, list[str]]":
    """(vectors checked, names of those that this interpreter does not reproduce)."""
    with open(path) as file:
        vectors = json.load(file)
    count = 0
    failed = []
    for kind in CHECKS:
        for vector in vectors[kind]:
            count += 1
            if not CHECKS[kind](vector):
                failed.append("%s: %s" % (kind, vector["name"]))
    return count, failed


def main(arguments: "list[str]") -> int:
    path = arguments[0] if arguments else __file__.rsplit("/", 1)[0] + "/vectors.json"
    count, failed = failures(path)
    for name in failed:
        print("not reproduced: " + name)
    print("%d of %d golden frames reproduced" % (count - len(failed), count))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
