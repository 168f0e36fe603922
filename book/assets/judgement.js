"use strict";
/* What can be said of a reader's answer, and of a run that they trained: as
   `minitrain.labs.judgement`, in the same words. Nothing here trains or draws. */
window.course = window.course || {};

window.course.judgement = (() => {
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  /** An answer, "key=value", beside what the healthy and the broken config have at its leaf. */
  const judge = (reader, answer, healthy, broken) => {
    const [shortKey, value] = reader.assignment(answer, "answer");
    const key = reader.fullKey(shortKey);
    reader.checkLeaf(key, value, "answer");
    const repaired = reader.patched(broken, { [key]: value }, "answer");
    const written = answer.slice(answer.indexOf("=") + 1).trim();
    return {
      text: key === shortKey ? answer : `${key}=${written}`,
      key, repaired,
      typed: repaired[key], healthy: healthy[key], broken: broken[key],
    };
  };

  /** The name of the sentence that rules the answer out without any training, if one does. */
  const contradicted = ({ typed, healthy, broken }) => {
    if (same(healthy, broken)) return "same";
    return same(typed, broken) ? "unchanged" : null;
  };

  /** The name of what is said of the right leaf with a value that gave another run. */
  const hint = ({ typed, healthy }, nearFactor) => {
    const numbers = typeof typed === "number" && typeof healthy === "number";
    if (!numbers || typed === healthy) return "another_value";
    const [low, high] = [Math.min(typed, healthy), Math.max(typed, healthy)];
    const near = low > 0 && high <= nearFactor * low ? "near_" : "";
    return near + (healthy > typed ? "higher" : "lower");
  };

  /** What a reader's run turned out to be; see `judgement.outcome`. */
  const outcome = ({ diverged, records, fingerprint }, { healthy, broken }) => {
    const [first, last] = [records[0].train_loss, records[records.length - 1].train_loss];
    // A loss that is no number is null, and less than nothing.
    if (diverged || last === null || !(last <= first)) return "diverged";
    if (healthy.includes(fingerprint)) return "healthy";
    return broken.includes(fingerprint) ? "broken" : "another";
  };

  return { judge, contradicted, hint, outcome };
})();
