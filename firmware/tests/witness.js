// Runs a list of jobs from stdin through lora-packet and codec.js; prints the list of results. See conftest.py.
"use strict";
const lora = require("lora-packet");
const codec = require("../codec.js");

const hex = (text) => Buffer.from(text, "hex");
const high = (fcnt) => {
  const bytes = Buffer.alloc(2); // lora-packet takes the counter's high half little-endian
  bytes.writeUInt16LE(Math.floor(fcnt / 65536));
  return bytes;
};

const JOBS = {
  build_data(job) {
    const fields = { MType: job.mtype, DevAddr: hex(job.dev_addr), FCnt: job.fcnt % 65536, FCtrl: job.fctrl };
    if (job.fopts) fields.FOpts = hex(job.fopts);
    if (job.fport !== null) {
      fields.FPort = job.fport;
      fields.payload = hex(job.payload);
    }
    const packet = lora.fromFields(fields, hex(job.app_skey), hex(job.nwk_skey), undefined, high(job.fcnt));
    return packet.getPHYPayload().toString("hex");
  },
  read_data(job) {
    const packet = lora.fromWire(hex(job.phy));
    const open = packet.FRMPayload && packet.FRMPayload.length
      ? lora.decrypt(packet, hex(job.app_skey), hex(job.nwk_skey), high(job.fcnt)).toString("hex")
      : "";
    return {
      mic: lora.verifyMIC(packet, hex(job.nwk_skey), undefined, high(job.fcnt)),
      mtype: packet.MHDR[0] >> 5,
      dev_addr: packet.DevAddr.toString("hex"),
      fcnt16: packet.getFCnt(),
      fopts: packet.FOpts.toString("hex"),
      fport: packet.getFPort(),
      payload: open,
      adr: packet.getFCtrlADR(),
      ack: packet.getFCtrlACK(),
    };
  },
  build_join_request(job) {
    const fields = { MType: 0, AppEUI: hex(job.join_eui), DevEUI: hex(job.dev_eui), DevNonce: hex(job.dev_nonce) };
    return lora.fromFields(fields, undefined, undefined, hex(job.app_key)).getPHYPayload().toString("hex");
  },
  read_join_request(job) {
    const packet = lora.fromWire(hex(job.phy));
    return {
      mic: lora.verifyMIC(packet, undefined, hex(job.app_key)),
      dev_eui: packet.DevEUI.toString("hex"),
      dev_nonce: packet.DevNonce.toString("hex"),
    };
  },
  build_join_accept(job) {
    const fields = {
      MType: 1,
      AppNonce: hex(job.join_nonce),
      NetID: hex(job.net_id),
      DevAddr: hex(job.dev_addr),
      DLSettings: job.dl_settings,
      RxDelay: job.rx_delay,
      CFList: hex(job.cflist),
    };
    return lora.fromFields(fields, undefined, undefined, hex(job.app_key)).getPHYPayload().toString("hex");
  },
  read_join_accept(job) {
    const plain = lora.decryptJoinAccept(lora.fromWire(hex(job.phy)), hex(job.app_key));
    const packet = lora.fromWire(plain);
    return {
      mic: lora.verifyMIC(packet, undefined, hex(job.app_key)),
      join_nonce: packet.AppNonce.toString("hex"),
      net_id: packet.NetID.toString("hex"),
      dev_addr: packet.DevAddr.toString("hex"),
      cflist: packet.CFList.toString("hex"),
    };
  },
  session_keys(job) {
    const keys = lora.generateSessionKeys10(hex(job.app_key), hex(job.net_id), hex(job.join_nonce), hex(job.dev_nonce));
    return [keys.NwkSKey.toString("hex"), keys.AppSKey.toString("hex")];
  },
  uplink(job) {
    const input = { bytes: [...hex(job.data)], fPort: job.fport, variables: {} };
    if (job.received) input.recvTime = new Date(job.received);
    return codec.decodeUplink(input);
  },
  encode_downlink: (job) => codec.encodeDownlink({ data: job.data, variables: {} }),
  decode_downlink: (job) => codec.decodeDownlink({ bytes: [...hex(job.data)], fPort: job.fport }),
  tables: () => ({ KINDS: codec.KINDS, GROUPS: codec.GROUPS, SETTINGS: codec.SETTINGS }),
};

const jobs = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(jobs.map((job) => JOBS[job.do](job))));
