/*
 * Payload codec of Suat nodes for ChirpStack v4 and The Things Stack (ECMAScript 5.1: paste the whole file).
 * The layout is described in docs/payload.md; the same table is suat_wire/fields.py.
 *
 * decodeUplink    FPort 2 readings, 3 readings with node health:
 *                 {ack_from, samples: [{record, age_s, time, readings: {probe1: {vwc: 0.21, ...}, ...}}]}
 *                 The server keeps no state here, so of a record number sent with 16 bits only those are known.
 * encodeDownlink  {ack: {cumulative: 70000, bitmap: [3]}} to FPort 4, {config: {interval_s: 900}} to FPort 5.
 * decodeDownlink  the same objects back.
 */

// kind -> [bytes, lowest, highest]
var KINDS = {
  u8: [1, 0, 255],
  i8: [1, -128, 127],
  u16: [2, 0, 65535],
  i16: [2, -32768, 32767],
  u32: [4, 0, 4294967295],
  bool: [1, 0, 1]
};

// [field, kind, divisor]: a reading is integer / divisor
var PROBE = [
  ["count", "i16", 20000],
  ["permittivity", "u16", 100],
  ["vwc", "i16", 10000],
  ["temperature", "i16", 100],
  ["ec", "u16", 1000],
  ["fault", "u8", 1]
];
var GROUPS = [
  ["probe1", PROBE],
  ["probe2", PROBE],
  ["probe3", PROBE],
  ["probe4", PROBE],
  ["water", [
    ["depth", "i16", 1000],
    ["distance", "u16", 1000],
    ["volume", "u32", 1],
    ["temperature", "i16", 100],
    ["ec", "u16", 1000],
    ["float", "bool", 1],
    ["fault", "u8", 1],
    ["pump_current", "u16", 100]
  ]],
  ["node", [
    ["battery", "u8", 40],
    ["air_temperature", "i16", 100],
    ["fault", "u8", 1],
    ["solar", "u8", 10],
    ["events", "u8", 1]
  ]],
  ["health", [
    ["firmware", "u32", 1],
    ["boots", "u32", 1],
    ["reset_cause", "u8", 1],
    ["backlog", "u16", 1],
    ["uptime_h", "u16", 1],
    ["crash", "u32", 1],
    ["lost", "u16", 1],
    ["heap_free", "u16", 1],
    ["config", "u32", 1],
    ["downlink_rssi", "i16", 1],
    ["downlink_snr", "i8", 4],
    ["radio_errors", "u16", 1],
    ["drift", "i16", 10],
    ["airtime", "u16", 1]
  ]]
];

// [id, name, kind, lowest, highest]
var SETTINGS = [
  [1, "interval_s", "u32", 30, 604800],
  [2, "ack_after", "u8", 1, 64],
  [3, "health_h", "u8", 1, 168],
  [4, "adr", "bool", 0, 1],
  [5, "data_rate", "u8", 0, 5],
  [6, "resend_from", "u32", 0, 4294967294],
  [7, "rejoin", "bool", 0, 1],
  [8, "restart", "bool", 0, 1],
  [9, "sensors_off", "u16", 0, 65535],
  [10, "battery_low", "u16", 0, 20000],
  [11, "battery_floor", "u16", 0, 20000],
  [12, "events_per_h", "u8", 0, 60],
  [13, "trough_empty", "u16", 0, 10000],
  [14, "freezing", "i16", -4000, 4000],
  [15, "leak_flow", "u8", 0, 48],
  [16, "leak_fall", "u16", 0, 1000],
  [17, "night_from", "u8", 0, 23]
];

var PORT_READINGS = 2, PORT_HEALTH = 3, PORT_ACK = 4, PORT_CONFIG = 5;
var RECORD_MAX = 4294967294, AGE_MAX = 2147483647;
var VERSION = 32, ASKS = 1, WIDE = 2;
var PROBES = 0x0f, HEALTH = 0x40, SHARED = 0x80;

function PayloadError(message) {
  this.message = message;
}

function Reader(bytes) {
  this.bytes = bytes;
  this.pos = 0;
}

Reader.prototype.byte = function () {
  if (this.pos >= this.bytes.length) {
    throw new PayloadError("a payload cut short");
  }
  return this.bytes[this.pos++];
};

// Multiplied, not shifted: shifts in JavaScript give signed 32-bit numbers.
Reader.prototype.unsigned = function (size) {
  var value = 0;
  for (var i = 0, unit = 1; i < size; i++, unit *= 256) {
    value += this.byte() * unit;
  }
  return value;
};

Reader.prototype.number = function (kind) {
  var size = KINDS[kind][0], value = this.unsigned(size);
  if (value > KINDS[kind][2]) {
    if (kind === "bool") {
      throw new PayloadError("a switch that is neither 0 nor 1");
    }
    value -= Math.pow(256, size);
  }
  return value;
};

Reader.prototype.varint = function () {
  var value = 0, unit = 1, byte;
  for (var i = 0; i < 5; i++, unit *= 128) {
    byte = this.byte();
    value += (byte % 128) * unit;
    if (byte < 128) {
      if (value > 4294967295) {
        break;
      }
      return value;
    }
  }
  throw new PayloadError("a number of more than 32 bits");
};

function readMasks(reader) {
  var groupMask = reader.byte(), masks = [], shared = null, any = false;
  if (groupMask & SHARED && !(groupMask & PROBES)) {
    throw new PayloadError("group mask has no meaning");
  }
  for (var g = 0; g < GROUPS.length; g++) {
    if (!(groupMask >> g & 1)) {
      masks.push(0);
      continue;
    }
    any = true;
    var mask;
    if (g < 4 && groupMask & SHARED) {
      if (shared === null) {
        shared = reader.varint();
      }
      mask = shared;
    } else {
      mask = reader.varint();
    }
    if (!mask || mask >= Math.pow(2, GROUPS[g][1].length)) {
      throw new PayloadError("field mask of " + GROUPS[g][0] + " has no meaning");
    }
    masks.push(mask);
  }
  if (!any) {
    throw new PayloadError("group mask has no meaning");
  }
  return masks;
}

function readValues(reader, masks) {
  var readings = {};
  for (var g = 0; g < GROUPS.length; g++) {
    if (!masks[g]) {
      continue;
    }
    var fields = GROUPS[g][1], group = readings[GROUPS[g][0]] = {};
    for (var f = 0; f < fields.length; f++) {
      if (masks[g] >> f & 1) {
        group[fields[f][0]] = reader.number(fields[f][1]) / fields[f][2];
      }
    }
  }
  return readings;
}

function readSamples(bytes, fPort, receivedMs) {
  var reader = new Reader(bytes), head = reader.byte();
  if ((head & ~(ASKS | WIDE)) !== VERSION || (fPort !== PORT_READINGS && fPort !== PORT_HEALTH)) {
    throw new PayloadError("header " + head + " on FPort " + fPort + " is unknown");
  }
  var asked = head & ASKS ? reader.unsigned(2) : null;
  var record = reader.unsigned(head & WIDE ? 4 : 2);
  var age = reader.varint(), step = 0, masks = null, health = false, samples = [];
  for (;;) {
    if (age < 0 || age > AGE_MAX) {
      throw new PayloadError("age " + age + " s");
    }
    if (masks !== null && bytes[reader.pos] === 0) {
      reader.pos++;
    } else {
      masks = readMasks(reader);
      health = health || masks[6] !== 0;
    }
    samples.push({ record: step, age_s: age, readings: readValues(reader, masks) });
    if (reader.pos === bytes.length) {
      break;
    }
    step -= reader.varint() + 1;
    var change = reader.varint();
    age += change % 2 ? -(change - 1) / 2 - 1 : change / 2;
  }
  var lowest = Math.min(step, asked === null ? 0 : -asked);
  if (!(head & WIDE) && record + lowest < 0) {
    record += 65536 * Math.ceil(-(record + lowest) / 65536);
  }
  if (record + lowest < 0 || record > RECORD_MAX) {
    throw new PayloadError("records out of range");
  }
  if (health !== (fPort === PORT_HEALTH)) {
    throw new PayloadError("health belongs on FPort 3, and nothing else does");
  }
  for (var i = 0; i < samples.length; i++) {
    samples[i].record += record;
    if (receivedMs !== null) {
      samples[i].time = new Date(receivedMs - 1000 * samples[i].age_s).toISOString();
    }
  }
  var data = { samples: samples };
  if (asked !== null) {
    data.ack_from = record - asked;
  }
  return data;
}

function writeUnsigned(bytes, value, size) {
  for (var i = 0; i < size; i++) {
    bytes.push(value % 256);
    value = Math.floor(value / 256);
  }
}

function whole(name, value, low, high) {
  if (value === true || value === false) {
    value = value ? 1 : 0;
  }
  if (typeof value !== "number" || Math.floor(value) !== value || value < low || value > high) {
    throw new PayloadError(name + ": " + value + " is not a whole number within " + low + ".." + high);
  }
  return value;
}

function writeAck(ack) {
  var cumulative = whole("cumulative", ack.cumulative, -1, RECORD_MAX), bitmap = ack.bitmap || [], bytes = [];
  if (bitmap.length > 8) {
    throw new PayloadError("a bitmap of at most 8 bytes");
  }
  var size = bitmap.length;
  while (size && !bitmap[size - 1]) {
    size--;
  }
  writeUnsigned(bytes, cumulative < 0 ? 4294967295 : cumulative, 4);
  for (var i = 0; i < size; i++) {
    bytes.push(whole("bitmap", bitmap[i], 0, 255));
  }
  return bytes;
}

function readAck(bytes) {
  if (bytes.length < 4 || bytes.length > 12) {
    throw new PayloadError("an acknowledgement has 4 to 12 bytes, not " + bytes.length);
  }
  var reader = new Reader(bytes), cumulative = reader.unsigned(4), bitmap = [];
  while (reader.pos < bytes.length) {
    bitmap.push(reader.byte());
  }
  return { cumulative: cumulative > RECORD_MAX ? -1 : cumulative, bitmap: bitmap };
}

function writeConfig(config) {
  var bytes = [], used = 0, name;
  for (var i = 0; i < SETTINGS.length; i++) {
    var setting = SETTINGS[i];
    name = setting[1];
    if (!Object.prototype.hasOwnProperty.call(config, name)) {
      continue;
    }
    var size = KINDS[setting[2]][0];
    bytes.push(setting[0], size);
    var value = whole(name, config[name], setting[3], setting[4]);
    writeUnsigned(bytes, value < 0 ? value + Math.pow(256, size) : value, size);
    used++;
  }
  if (!used || used !== Object.keys(config).length) {
    throw new PayloadError("no settings, or one that is unknown: " + Object.keys(config).join(", "));
  }
  return bytes;
}

function readConfig(bytes) {
  var reader = new Reader(bytes), config = {}, empty = true;
  while (reader.pos < bytes.length) {
    var id = reader.byte(), setting = null;
    for (var i = 0; i < SETTINGS.length; i++) {
      if (SETTINGS[i][0] === id) {
        setting = SETTINGS[i];
      }
    }
    if (setting === null) {
      throw new PayloadError("setting " + id + " is unknown");
    }
    var name = setting[1];
    if (reader.byte() !== KINDS[setting[2]][0] || Object.prototype.hasOwnProperty.call(config, name)) {
      throw new PayloadError(name + ": of wrong length or given twice");
    }
    config[name] = whole(name, reader.number(setting[2]), setting[3], setting[4]);
    empty = false;
  }
  if (empty) {
    throw new PayloadError("no settings");
  }
  return config;
}

// Both servers take {errors: [...]} as "this could not be done".
function guarded(work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof PayloadError) {
      return { errors: [error.message] };
    }
    throw error;
  }
}

function decodeUplink(input) {
  return guarded(function () {
    var receivedMs = input.recvTime ? new Date(input.recvTime).getTime() : null;
    return { data: readSamples(input.bytes, input.fPort, receivedMs) };
  });
}

function encodeDownlink(input) {
  return guarded(function () {
    var data = input.data || {};
    if (data.ack && !data.config) {
      return { bytes: writeAck(data.ack), fPort: PORT_ACK };
    }
    if (data.config && !data.ack) {
      return { bytes: writeConfig(data.config), fPort: PORT_CONFIG };
    }
    throw new PayloadError("a downlink is either {ack: {}} or {config: {}}");
  });
}

function decodeDownlink(input) {
  return guarded(function () {
    if (input.fPort === PORT_ACK) {
      return { data: { ack: readAck(input.bytes) } };
    }
    if (input.fPort === PORT_CONFIG) {
      return { data: { config: readConfig(input.bytes) } };
    }
    throw new PayloadError("no downlink is known on FPort " + input.fPort);
  });
}

// For tests under Node.js; the servers have no modules.
if (typeof module !== "undefined") {
  module.exports = {
    decodeUplink: decodeUplink,
    encodeDownlink: encodeDownlink,
    decodeDownlink: decodeDownlink,
    KINDS: KINDS,
    GROUPS: GROUPS,
    SETTINGS: SETTINGS
  };
}
