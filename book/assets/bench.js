"use strict";
/* The bench of a lab: the pull request, if there is one, the configs' difference, the checks; how many of its
   instruments a reader has used; and the judgement of an answer that is a line of the code, or
   nothing. As `minitrain.labs.case`. */

Object.assign(course.trainer, (() => {
  const { element, fill } = course.dom;
  const { button, storage } = course.trainer;
  const NOTHING = ["nothing", "nada"];
  const PLACE = /^\s*(\w+\.py)\s*:\s*(\d+)\s*$/;
  const DIGITS = 12; // of a fingerprint that is shown

  /** What the answer is told, or null where it is none of a case's: [found, line, sentence]. */
  const judgeCase = ({ bench, sealed, lab, texts, messages, recorded }, text) => {
    if (NOTHING.includes(text.trim().toLowerCase())) {
      const i = lab.ends.healthy.findIndex((hash, at) => hash !== lab.ends.broken[at]);
      const [one, other] = [lab.ends.healthy, lab.ends.broken].map((ends) => ends[Math.max(i, 0)].slice(0, DIGITS));
      const { seed } = recorded.find((run) => run.fingerprint === one);
      const key = i < 0 ? "nothing_wrong" : "something_wrong";
      return [i < 0, `${text.trim()}   ${one} ${i < 0 ? "=" : "≠"} ${other}`, fill(texts[key], { seed })];
    }
    const [, file, number] = PLACE.exec(text) ?? [];
    if (!file && !text.includes("=")) {
      throw new course.config.Problem(fill(messages.case_answer, { value: `'${text}'` }));
    }
    if (!file) return null;
    const place = `${file}:${Number(number)}`;
    const told = (key) => [key.startsWith("right_line"), place, fill(texts[key], { place, number: sealed.wrong.length })];
    if (!(Number(number) >= 1 && Number(number) <= (sealed.lines[file] ?? 0))) return told("no_line");
    if (place in sealed.cleared) return [false, place, fill(texts.cleared_line, { place, why: sealed.cleared[place] })];
    if (sealed.nothing) return told("healthy_line");
    if (sealed.wrong.includes(place)) return told(sealed.wrong.length === 1 ? "right_line" : "right_line_of");
    const written = bench.hunks.some((hunk) =>
      hunk.file === file && hunk.rows.some(([kind, line]) => kind === "+" && line === Number(number)));
    return told(written ? "innocent_line" : "unchanged_line");
  };

  /** The diff as tables, a hunk each; the number of a line that can be an answer is a button. */
  const diffOf = ({ hunks }, choose) =>
    hunks.map(({ file, rows }) => {
      const made = rows.map(([kind, number, text]) => {
        const place = `${file}:${number}`;
        const cell = element("td", { class: "bench-number" });
        if (kind === "-") cell.append(String(number));
        else {
          const pick = element("button", { type: "button", "aria-label": place }, String(number));
          pick.addEventListener("click", () => choose(place));
          cell.append(pick);
        }
        const look = { "+": "bench-added", "-": "bench-removed" }[kind];
        return element("tr", { class: look ?? null }, cell, element("td", {}, kind), element("td", {}, element("code", {}, text)));
      });
      const table = element("table", { class: "bench-diff" }, element("caption", {}, element("code", {}, file)), element("tbody", {}, ...made));
      return element("div", { class: "bench-scroll", tabindex: "0", role: "region", "aria-label": file }, table);
    });

  /** A text in which `code` stands between backticks. */
  const withCode = (text) => text.split("`").map((part, i) => (i % 2 ? element("code", {}, part) : part));

  const folded = (title, ...inside) =>
    element("details", { class: "bench-part" }, element("summary", {}, title), ...inside);

  /** The boxes of the bench, and what counts its use. choose: makes a place the answer. */
  const benchOf = (about, choose) => {
    const { texts, bench, sealed } = about;
    const kept = storage(`course.used ${about.experiment}/${about.variant}`);
    let [used, answers, found] = kept.read();
    used = new Set(Array.isArray(used) ? used : []);
    answers = Number(answers) || 0;
    const score = element("p", { class: "trainer-note bench-score", role: "status" });
    const labels = { config_diff: texts.config_diff, edits: texts.edits, curves: texts.curves };
    const values = () => ({
      number: used.size, answers, names: [...used].map((name) => labels[name] ?? name).join(", "),
    });
    const tell = () => {
      const sentence = found ? "score" : used.size || answers ? "used" : "not_used";
      score.textContent = fill(texts[sentence], values());
    };
    // Only a change is kept: a page that opens before the browser has stored the last one deletes nothing.
    const keep = () => {
      tell();
      kept.write([[...used], answers, Boolean(found)]);
    };
    // What is used after the answer was found is no evidence for it.
    const use = (name) => {
      if (!found) used.add(name);
      keep();
    };
    const answered = (right) => {
      if (!found) answers += 1;
      found ||= right;
      keep();
    };

    const leaves = Object.entries(sealed.differing);
    const differing = leaves.length
      ? element("ul", {}, ...leaves.map(([key, [healthy, broken]]) =>
        element("li", {}, element("code", {}, `${key}: ${JSON.stringify(healthy)} | ${JSON.stringify(broken)}`))))
      : element("p", {}, texts.no_difference);
    const checks = bench.instruments.map((name) => {
      const line = element("div", { class: "bench-line", role: "status" });
      const press = button(name, "button", () => {
        const [passed, evidence] = sealed.verdicts[name];
        line.className = `bench-line ${passed ? "trainer-good" : "trainer-bad"}`;
        line.replaceChildren(element("code", {}, `${passed ? "✓" : "✗"} ${evidence}`));
        use(name);
      });
      return element("li", {}, press, line);
    });
    const request = bench.hunks
      ? [folded(`${texts.request}: ${bench.title}`,
          element("p", {}, ...withCode(bench.description)), element("p", { class: "trainer-note" }, texts.request_about),
          ...diffOf(bench, choose))]
      : [];
    // Where the fault is in the code, the config may be seen as a whole: it is the same for both.
    const whole = bench.hunks && !leaves.length
      ? [element("p", { class: "trainer-note" }, texts.whole),
          element("pre", {}, Object.entries(about.config).map(([key, value]) => `${key}: ${JSON.stringify(value)}`).join("\n"))]
      : [];
    const config = folded(texts.config_diff, differing, ...whole);
    config.addEventListener("toggle", () => {
      if (config.open) use("config_diff");
    });
    const boxes = [
      ...request,
      config,
      folded(texts.checks, element("p", { class: "trainer-note" }, texts.check_about),
        element("ul", { class: "bench-checks" }, ...checks)),
    ];
    tell();
    return { boxes, score, use, answered };
  };

  return { benchOf, judgeCase };
})());
