"use strict";
/* Configs as `minitrain.training.config` has them: what a reader types is read by the same rules, and
   what cannot be is said in the same words. A test in the browser compares both.

     const reader = course.config.reader({ rules, messages });
     const [key, typed] = reader.assignment("learning_rate=0.003", "answer");
     const config = reader.patched(base, { [reader.fullKey(key)]: typed }, "answer");

   A config is flat: dotted keys, JSON values. A value that was typed keeps what Python would keep of
   it: whether it is a whole number, and how it is written. */
window.course = window.course || {};

window.course.config = (() => {
  const { decimalComma, fill, shortened } = course.dom;
  const WHOLE = /^[-+]?(0|[1-9]\d*)$/;
  const DECIMAL = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
  // What may mean two things in YAML is an error (see `strict_yaml`).
  const AMBIGUOUS = /^[-+]?(0[\d_]+|0[xob][\da-f_]*|\d+(:[0-5]?\d)+(\.[\d_]*)?)$/i;
  const MOST_DIGITS = 30;
  const LONGEST = 80; // characters of a value that a message shows
  const CLOSE = 0.7; // how alike two names must be for one to be meant by the other
  const WORDS = { "": null, "~": null, null: null, true: true, false: false };

  class Problem extends Error {}

  /** A number as Python writes it: `1e-05`, `1.0`. */
  const pythonFloat = (value) => {
    if (!Number.isFinite(value)) return value > 0 ? "inf" : value < 0 ? "-inf" : "nan";
    const [digits, exponent] = value.toExponential().split("e").map((part, i) => (i ? Number(part) : part));
    if (value !== 0 && (exponent < -4 || exponent >= 16)) {
      const size = String(Math.abs(exponent)).padStart(2, "0");
      return `${digits}e${exponent < 0 ? "-" : "+"}${size}`;
    }
    const text = Object.is(value, -0) ? "-0" : Math.abs(value) >= 1e16 ? String(BigInt(value)) : String(value);
    if (text.includes("e")) return value.toFixed(Math.max(0, digits.replace(/[-.]/g, "").length - 1 - exponent));
    return text.includes(".") ? text : `${text}.0`;
  };

  const quoted = (text) => {
    const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
    const escaped = text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/\t/g, "\\t");
    return quote + (quote === "'" ? escaped.replace(/'/g, "\\'") : escaped) + quote;
  };

  /** A text as a message shows it: quoted, and without its middle if it is long, as by reprlib. */
  const pythonText = (text) => {
    const whole = quoted(text.slice(0, LONGEST));
    if (whole.length <= LONGEST) return whole;
    const [before, after] = [(LONGEST - 3) >> 1, (LONGEST - 2) >> 1];
    const ends = quoted(text.slice(0, before) + text.slice(-after));
    return `${ends.slice(0, before)}...${ends.slice(-after)}`;
  };

  const wordValue = (value) => ({
    kind: value === null ? "null" : "bool",
    value,
    text: { null: "None", true: "True", false: "False" }[value],
  });
  const textValue = (text) => ({ kind: "text", value: text, text: pythonText(text) });

  /** One value without brackets around it, as YAML reads it. */
  const scalar = (written, ambiguous) => {
    const inQuotes = /^'((?:[^']|'')*)'$/.exec(written) || /^"([^"\\]*)"$/.exec(written);
    if (inQuotes) return textValue(written[0] === "'" ? inQuotes[1].replace(/''/g, "'") : inQuotes[1]);
    if (Object.hasOwn(WORDS, written)) return wordValue(WORDS[written]);
    if (AMBIGUOUS.test(written)) throw ambiguous(written);
    if (WHOLE.test(written)) {
      if (written.length > MOST_DIGITS) throw ambiguous(written);
      const text = String(BigInt(written.replace("+", "")));
      return { kind: "int", value: Number(text), text };
    }
    if (DECIMAL.test(written)) {
      const value = Number(written);
      return { kind: "float", value, text: pythonFloat(value) };
    }
    return textValue(written);
  };

  const valueOf = (written, ambiguous) => {
    const text = written.replace(/(^|\s)#.*$/, "").trim();
    const list = /^\[(.*)\]$/.exec(text);
    if (!list) return scalar(text, ambiguous);
    const parts = list[1].trim() ? list[1].replace(/,\s*$/, "").split(",") : [];
    const values = parts.map((part) => scalar(part.trim(), ambiguous));
    return { kind: "list", value: values, text: `[${values.map((one) => one.text).join(", ")}]` };
  };

  /** How much two names have in common, from 0 to 1, as Python's difflib reckons it. */
  const likeness = (a, b) => {
    const common = (aLow, aHigh, bLow, bHigh) => {
      let best = [aLow, bLow, 0];
      for (let i = aLow; i < aHigh; i += 1) {
        for (let j = bLow; j < bHigh; j += 1) {
          let size = 0;
          while (i + size < aHigh && j + size < bHigh && a[i + size] === b[j + size]) size += 1;
          if (size > best[2]) best = [i, j, size];
        }
      }
      const [i, j, size] = best;
      return size && size + common(aLow, i, bLow, j) + common(i + size, aHigh, j + size, bHigh);
    };
    return (2 * common(0, a.length, 0, b.length)) / (a.length + b.length || 1);
  };

  /** What is wrong with a value, as [key of the message, its values, the value at fault, where]. */
  const fault = (typed, rule) => {
    const say = (key, limit) => [key, { limit }, typed.text, ""];
    const { kind, value } = typed;
    if (kind === "null" && rule.nullable) return null;
    if (rule.type === "choice") {
      if (kind === "text" && rule.choices.includes(value)) return null;
      const expected = rule.choices.map((one) => `'${one}'`).join(" | ");
      return ["one_of", { expected }, typed.text, ""];
    }
    if (rule.type === "bool") return kind === "bool" ? null : say("truth");
    if (rule.type === "list") {
      if (kind !== "list") return say("list");
      const limit = rule.of.length;
      if (value.length > limit) return ["too_many", { limit }, typed.text, ""];
      for (let i = 0; i < limit; i += 1) {
        const found = value[i] ? fault(value[i], rule.of[i]) : ["too_few", { limit }, typed.text, ""];
        if (found) return [found[0], found[1], found[2], `.${i}`];
      }
      return null;
    }
    if (kind !== "int" && (kind !== "float" || rule.type === "int")) {
      if (rule.type === "float" && kind === "text" && decimalComma(value)) return say("point");
      return say(rule.type === "int" ? "whole_number" : "number");
    }
    if (!Number.isFinite(value)) return say("finite");
    if (value < rule.ge) return say("at_least", rule.ge_text);
    if (value <= rule.gt) return say("more_than", rule.gt_text);
    if (value > rule.le) return say("at_most", rule.le_text);
    if (value >= rule.lt) return say("less_than", rule.lt_text);
    return null;
  };

  const plain = ({ kind, value }) => (kind === "list" ? value.map(plain) : value);

  const reader = ({ rules, messages }) => {
    const keys = Object.keys(rules);
    const last = (key) => key.split(".").pop();
    const say = (key, values) => fill(messages[key], values);
    const at = (source, field, reason) =>
      new Problem(say("field", { source, field: shortened(field), reason }));
    const got = (reason, value) => say("got", { reason, value: shortened(value) });

    const parse = (written, source) =>
      valueOf(written, (value) => {
        const reason = say("yaml_number", { value: pythonText(value), line: 1 });
        return new Problem(say("at", { source, reason: say("not_yaml", { detail: reason }) }));
      });

    /** "learning_rate=0.003" as a key and a typed value; `option` is who asks. */
    const assignment = (text, option) => {
      const source = `${option} ${pythonText(text)}`;
      const equals = text.indexOf("=");
      const key = text.slice(0, Math.max(0, equals)).trim();
      if (!key) throw new Problem(say("at", { source, reason: messages.key_value }));
      return [key, parse(text.slice(equals + 1), source)];
    };

    /** The dotted key that is meant: itself, unless it is the last part of only one. */
    const fullKey = (key) => {
      const ends = keys.filter((name) => name.endsWith(`.${key}`));
      return !keys.includes(key) && ends.length === 1 ? ends[0] : key;
    };

    const checkLeaf = (key, typed, source) => {
      if (keys.includes(key)) return;
      if (keys.some((name) => name.startsWith(`${key}.`))) {
        throw at(source, key, got(messages.section, typed.text));
      }
      const names = Object.fromEntries(keys.map((name) => [last(name), name]));
      const wanted = last(key).slice(0, 80);
      const close = Object.keys(names)
        .map((name) => [likeness(name, wanted), name])
        .filter(([share]) => share >= CLOSE)
        .sort(([x, a], [y, b]) => y - x || (a < b ? 1 : -1))[0];
      const reason = got(messages.unknown_key, typed.text);
      const name = close && names[close[1]];
      throw at(source, key, name ? say("did_you_mean", { reason, name }) : reason);
    };

    /** A config with some leaves replaced by typed values; the first thing wrong, in its order. */
    const patched = (config, changes, source) => {
      const made = { ...config };
      const written = (key) => changes[key]?.text ?? String(config[key]);
      for (const [key, typed] of Object.entries(changes)) {
        checkLeaf(key, typed, source);
        made[key] = plain(typed);
      }
      for (const key of keys) {
        const found = changes[key] && fault(changes[key], rules[key]);
        if (found) throw at(source, key + found[3], got(say(found[0], found[1]), found[2]));
        if (key === "model.tied_embedding" && made["model.d_model"] % made["model.n_head"]) {
          const values = { n_head: written("model.n_head"), d_model: written("model.d_model") };
          throw at(source, "model", say("heads", values));
        }
      }
      if (made["schedule.warmup_steps"] >= made.steps) {
        const values = { warmup_steps: written("schedule.warmup_steps"), steps: written("steps") };
        throw at(source, "config", say("warmup", values));
      }
      return made;
    };

    /** A value of a config as a reader would type it. */
    const asTyped = (value, rule) => {
      if (Array.isArray(value)) return `[${value.map((one, i) => asTyped(one, rule.of[i])).join(", ")}]`;
      return rule.type === "float" && typeof value === "number" ? pythonFloat(value) : String(value);
    };

    /** The config as the kernel reads it: a number for each leaf, in the order of `config.h`, and one
        for the faults that are planted. */
    const encoded = (config, faults = 0) =>
      keys.flatMap((key) => {
        const value = config[key];
        if (value === null) return [0];
        // Whatever it simulates, the kernel does not.
        if (key === "arithmetic.autocast") return [1];
        const { type, choices } = rules[key];
        return type === "choice" ? [choices.indexOf(value)] : [value].flat().map(Number);
      }).concat(faults);

    return {
      assignment, parse, fullKey, checkLeaf, patched, encoded,
      asTyped: (key, value) => asTyped(value, rules[key]),
    };
  };

  return { reader, Problem, pythonText };
})();
