"use strict";
/* Trains one run in a worker. This text travels inside the script that brings the kernel, and becomes
   a Blob: a page on file:// may not load a worker from a file. */

const RECORDED = 1, FINISHED = 2, DIVERGED = 4; // bits of a status, as in minitrain.c
const MOST_MEMORY = 2 ** 30;
const TURN = 60; // milliseconds of training between two looks at the messages
const TELL_EVERY = 150; // milliseconds between two reports
const PAGE = 65536;
const ALIGNMENT = 64;

let paused = false;
let goOn = () => {};

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

const unpacked = async (base64, zipped) => {
  const bytes = bytesOf(base64);
  if (!zipped) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

class Refused extends Error {}

/** A training in the kernel's memory: config and items first, then whatever the kernel needs. */
const start = async ({ module, items, zipped, config, recordDoubles }) => {
  const { instance } = await WebAssembly.instantiate(await unpacked(module, zipped), {});
  const kernel = instance.exports;
  const { memory } = kernel;
  const packed = new Uint16Array((await unpacked(items, zipped)).buffer);
  const aligned = (address) => Math.ceil(address / ALIGNMENT) * ALIGNMENT;
  const configAt = aligned(kernel.__heap_base.value);
  const itemsAt = aligned(configAt + 8 * config.length);
  const trainingAt = aligned(itemsAt + 4 * packed.length);
  const reach = (bytes) => {
    const missing = Math.ceil((bytes - memory.buffer.byteLength) / PAGE);
    if (missing > 0) memory.grow(missing);
  };
  reach(trainingAt);
  new Float64Array(memory.buffer, configAt, config.length).set(config);
  if (!kernel.minitrain_covers(configAt)) throw new Refused("covers");
  const need = kernel.minitrain_bytes(configAt);
  if (!(need <= MOST_MEMORY)) throw new Refused("too_much_memory");
  try {
    reach(trainingAt + need);
  } catch {
    throw new Refused("too_much_memory");
  }
  new Int32Array(memory.buffer, itemsAt, packed.length).set(packed);
  const training = kernel.minitrain_start(trainingAt, configAt, itemsAt);
  return {
    step: () => kernel.minitrain_step(training),
    tokens: () => kernel.minitrain_tokens(training),
    record: () => kernel.minitrain_record(training),
    advance: () => kernel.minitrain_advance(training),
    lastRecord: () => {
      const at = kernel.minitrain_last_record(training);
      return Array.from(new Float64Array(memory.buffer, at, recordDoubles));
    },
    fingerprint: () => {
      const hash = new Uint8Array(memory.buffer, kernel.minitrain_fingerprint(training), 32);
      return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
    },
  };
};

const train = (training) => {
  let records = [];
  let told = 0, trained = 0, spent = 0;
  const note = (status) => {
    if (!(status & RECORDED)) return;
    records.push({ numbers: training.lastRecord(), fingerprint: training.fingerprint() });
  };
  const tell = (status) => {
    // A run that diverged between two records: what it ended with has not been hashed yet.
    if (status & DIVERGED && !(status & RECORDED)) training.record();
    postMessage({
      fingerprint: training.fingerprint(),
      step: training.step(),
      tokens: training.tokens(),
      rate: trained / Math.max(spent / 1000, 1e-9),
      seconds: spent / 1000,
      records,
      finished: Boolean(status & (FINISHED | DIVERGED)),
      diverged: Boolean(status & DIVERGED),
    });
    records = [];
    told = performance.now();
  };

  let status = training.record();
  note(status);
  tell(status);
  // A message to itself comes back at once, but after those that wait; a timer would be held back.
  const { port1, port2 } = new MessageChannel();
  let asked = false;
  goOn = () => {
    if (asked) return;
    asked = true;
    port2.postMessage(null);
  };
  port1.onmessage = () => {
    asked = false;
    if (paused) return;
    const began = performance.now();
    while (!(status & (FINISHED | DIVERGED)) && performance.now() - began < TURN) {
      status = training.advance();
      trained += 1;
      note(status);
    }
    spent += performance.now() - began;
    if (status & (FINISHED | DIVERGED)) return tell(status);
    if (performance.now() - told > TELL_EVERY) tell(status);
    goOn();
  };
  goOn();
};

onmessage = async ({ data }) => {
  if (data.pause) paused = true;
  if (data.resume) {
    paused = false;
    goOn();
  }
  if (!data.start) return;
  try {
    train(await start(data.start));
  } catch (error) {
    const refused = error instanceof Refused ? error.message : "failed";
    postMessage({ refused, detail: error.message });
  }
};
