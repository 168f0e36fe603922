"use strict";
/* Runs that a page trains: a worker for each, as many at once as there are cores to spare, whatever
   panel they belong to; what a record of theirs means; the `run.json` that they are kept as.

     const run = course.runs.train({ config, encoded, code }, (news) => ...);
     run.pause(); run.resume(); run.stop();

   News are { state, step, steps, rate, secondsLeft, result }; `state` is "waiting", "running",
   "paused", "finished" or "refused" (with a `reason` and its `detail`). `result` has the keys of a
   run.json, as far as the run has come. */
window.course = window.course || {};

window.course.runs = (() => {
  // One core is left for the page, the other tabs and the rest of the machine.
  const AT_ONCE = Math.max(1, (navigator.hardwareConcurrency || 2) - 1);
  const SCRIPT = "trainer-kernel.js";
  const SCRIPT_OF_OLD_BROWSERS = "trainer-kernel-old.js";
  // A module of one function that needs vectors (i8x16.splat): whether it is valid is the question.
  const VECTORS = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
    253, 98, 11,
  ]);
  const here = document.currentScript.src;
  const waiting = [];
  let training = 0;
  let shared, arrival;

  // ------------------------------------------------------------------------------------- the kernel

  /** Called by the kernel's script, with what it brings. */
  const arrived = (kernel) => {
    shared = kernel;
  };

  /** The kernel's script, once it is there: only a page that trains loads it. */
  const kernel = () => {
    arrival ??= new Promise((resolve, reject) => {
      const modern = WebAssembly.validate(VECTORS) && "DecompressionStream" in window;
      const script = document.createElement("script");
      script.src = new URL(modern ? SCRIPT : SCRIPT_OF_OLD_BROWSERS, here).href;
      script.onload = () => resolve(shared);
      script.onerror = () => {
        arrival = undefined;
        reject(new Error(script.src));
      };
      document.head.append(script);
    });
    return arrival;
  };

  let address;
  const newWorker = (text) => {
    address ??= URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    return new Worker(address);
  };

  // ---------------------------------------------------------------------------------------- records

  const finite = (value) => (Number.isFinite(value) ? value : null);

  /** The numbers of `Record` in minitrain.c as a record of `loop.Record`; null is not finite. */
  const record = ({ numbers, fingerprint }, { slices, kinds, tied }) => {
    let next = 0;
    const take = () => numbers[next++];
    const named = (names) => Object.fromEntries(names.map((name) => [name, take()]));
    const only = (values, keep) =>
      Object.fromEntries(Object.entries(values).filter(keep).map(([name, x]) => [name, finite(x)]));
    const step = take();
    const [rate, norm] = [take(), take()];
    const found = { step, learning_rate: step ? rate : null, gradient_norm: step ? norm : null };
    const of = {};
    for (const split of ["train", "val"]) {
      of[split] = { loss: finite(take()), parts: named(["prompt", "form"]), accuracy: named(slices) };
    }
    const known = ([name]) => name !== "head" || !tied;
    const measured = ([, value]) => !Number.isNaN(value);
    const [weights, updates, scales] = [named(kinds), named(kinds), named(kinds)];
    return {
      ...found,
      train_loss: of.train.loss,
      val_loss: of.val.loss,
      parts: { train: only(of.train.parts, () => true), val: only(of.val.parts, () => true) },
      weight_norms: only(weights, known),
      update_norms: step ? only(updates, known) : {},
      gradient_scales: step ? only(scales, known) : {},
      accuracy: { train: only(of.train.accuracy, measured), val: only(of.val.accuracy, measured) },
      fingerprint,
    };
  };

  /** A number of a record by the name that the book's tables give it; see `labs.curves`. */
  const quantity = (one, name) => {
    if (name === "val_loss − train_loss") {
      return one.val_loss === null || one.train_loss === null ? null : one.val_loss - one.train_loss;
    }
    const norm = /^‖(.*)‖$/.exec(name);
    if (norm) return one.weight_norms[norm[1]];
    const [field, split, slice] = name.split(".");
    return field === "accuracy" ? one.accuracy[split][slice] : one[field];
  };

  /** Dotted keys as nested ones. */
  const nested = (config) => {
    const made = {};
    for (const [key, value] of Object.entries(config)) {
      const parts = key.split(".");
      const leaf = parts.pop();
      let section = made;
      for (const part of parts) section = section[part] ??= {};
      section[leaf] = value;
    }
    return made;
  };

  /** The text of a run.json, which `minitrain compare` reads. */
  const runJson = ({ config, ...values }) =>
    JSON.stringify({ config: nested(config), ...values }, null, 1);

  // --------------------------------------------------------------------------------------- training

  const startNext = () => {
    while (training < AT_ONCE && waiting.length) {
      training += 1;
      waiting.shift()();
    }
  };

  const train = ({ config, encoded, code }, tell) => {
    let worker, over = false, begun = false, paused = false;
    const result = {
      config, code, fingerprint: "", diverged: false, steps: 0, tokens: 0, seconds: 0,
      engine: "kernel", records: [],
    };
    const news = { step: 0, steps: config.steps, rate: 0, secondsLeft: null, result };
    const say = (state, more = {}) => tell({ ...news, ...more, state });

    const end = () => {
      if (over) return;
      over = true;
      worker?.terminate();
      if (begun) training -= 1;
      else if (waiting.includes(begin)) waiting.splice(waiting.indexOf(begin), 1);
      startNext();
    };

    const hear = (kinds, slices) => ({ data }) => {
      if (over) return;
      if (data.refused) {
        end();
        say("refused", { reason: data.refused, detail: data.detail });
        return;
      }
      const tied = config["model.tied_embedding"];
      result.records.push(...data.records.map((one) => record(one, { slices, kinds, tied })));
      Object.assign(result, {
        fingerprint: data.fingerprint, diverged: data.diverged, steps: data.step, tokens: data.tokens,
        seconds: data.seconds,
      });
      const left = data.rate && data.seconds > 1 ? (config.steps - data.step) / data.rate : null;
      Object.assign(news, { step: data.step, rate: data.rate, secondsLeft: left });
      if (data.finished) end();
      say(data.finished ? "finished" : paused ? "paused" : "running");
    };

    const begin = async () => {
      begun = true;
      if (!paused) say("running");
      try {
        const { slices, kinds, worker: text, ...packed } = await kernel();
        if (over) return;
        worker = newWorker(text);
        worker.onmessage = hear(kinds, slices);
        worker.onerror = ({ message }) => hear(kinds, slices)({ data: { refused: "failed", detail: message } });
        const recordDoubles = 3 + 2 * (3 + slices.length) + 3 * kinds.length;
        worker.postMessage({ start: { ...packed, config: encoded, recordDoubles } });
        if (paused) worker.postMessage({ pause: true });
      } catch (error) {
        if (over) return;
        end();
        say("refused", { reason: "failed", detail: error.message });
      }
    };

    waiting.push(begin);
    say("waiting");
    startNext();
    return {
      pause: () => {
        paused = true;
        worker?.postMessage({ pause: true });
        if (begun) say("paused");
      },
      resume: () => {
        paused = false;
        worker?.postMessage({ resume: true });
        say(begun ? "running" : "waiting");
      },
      stop: end,
      going: () => !over,
    };
  };

  return { train, arrived, quantity, runJson };
})();
