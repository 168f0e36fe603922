"use strict";
/* The panels of {trainer}: a form, the reader's runs, their curves over those of the book, and in a lab
   the check of an answer. What a panel knows is in the page; see `_ext/course/trainer.py`. */

(() => {
  const { element, fill } = course.dom;
  const { judge, contradicted, hint, outcome } = course.judgement;
  const { quantity } = course.runs;
  const MOST_KEPT = 12; // runs of one panel in the browser's storage
  const CHARTS = 2;
  const LOSSES = ["val_loss", "train_loss"];
  const DIGITS = 12; // of a fingerprint that is shown
  let counted = 0;

  const described = (host) => {
    const about = JSON.parse(host.querySelector("script").textContent);
    const { config, lab } = JSON.parse(atob(about.sealed));
    // Of the healthy config, the page carries where it differs; of shares, thousandths.
    if (lab) lab.config = { ...config, ...lab.healthy };
    about.quantities.forEach((name, i) => {
      if (!name.startsWith("accuracy")) return;
      for (const run of about.recorded) run.values[i] = run.values[i].map((x) => x === null ? x : x / 1000);
    });
    return { ...about, config, lab };
  };

  const button = (text, type, pressed) => {
    const made = element("button", { type, class: "trainer-button" }, text);
    if (pressed) made.addEventListener("click", pressed);
    return made;
  };

  /** "about 10 s", as `notice.duration`. */
  const duration = (seconds, messages) =>
    seconds < 90
      ? fill(messages.about_seconds, { seconds: Math.max(1, Math.round(seconds / 5)) * 5 })
      : fill(messages.about_minutes, { minutes: Math.round(seconds / 60) });

  /** Four significant digits, as Python's `.4g`. */
  const four = (value) => (value === null ? "nan" : String(Number(value.toPrecision(4))));

  // ------------------------------------------------------------------------------------ what is kept

  /** Finished runs in the browser's storage; a browser that has none keeps nothing. */
  const storage = (name) => {
    const key = `course.runs ${name}`;
    return {
      read: () => {
        try {
          const found = JSON.parse(localStorage.getItem(key) || "[]");
          return Array.isArray(found) ? found : [];
        } catch {
          return [];
        }
      },
      /** Whether all of them are kept. */
      write: (runs) => {
        try {
          if (runs.length) localStorage.setItem(key, JSON.stringify(runs.slice(-MOST_KEPT)));
          else localStorage.removeItem(key);
          return runs.length <= MOST_KEPT;
        } catch {
          return false;
        }
      },
    };
  };

  // ----------------------------------------------------------------------------------------- the form

  /** One field for each leaf that may be changed. */
  const fields = (about, reader, id) => {
    const box = element("div", { class: "trainer-fields" });
    const inputs = {};
    for (const key of about.leaves) {
      const rule = about.rules[key];
      const choices = rule.type === "bool" ? ["true", "false"] : rule.choices;
      const options = (choices || []).map((one) => element("option", { value: one }, one));
      const input = choices
        ? element("select", {}, ...options)
        : element("input", {
            type: "text", autocomplete: "off", spellcheck: "false",
            inputmode: ["int", "float"].includes(rule.type) ? "decimal" : null,
          });
      input.id = `${id}-${key}`;
      input.value = reader.asTyped(key, about.config[key]);
      inputs[key] = input;
      box.append(element("div", {}, element("label", { for: input.id }, element("code", {}, key)), input));
    }
    const read = (source) => {
      const changes = {};
      for (const [key, input] of Object.entries(inputs)) {
        input.removeAttribute("aria-invalid");
        const typed = reader.parse(input.value, `${source} ${key}`);
        if (reader.asTyped(key, about.config[key]) !== input.value.trim()) changes[key] = typed;
      }
      return changes;
    };
    const fillIn = (values) => {
      for (const [key, input] of Object.entries(inputs)) {
        input.value = values[key] ?? reader.asTyped(key, about.config[key]);
      }
    };
    const blame = (text) => {
      const key = Object.keys(inputs).find((name) => text.includes(`${name}:`) || text.includes(`${name}.`));
      inputs[key]?.setAttribute("aria-invalid", "true");
      inputs[key]?.focus();
    };
    return { box, read, fillIn, blame };
  };

  /** A lab's form: any leaf, one `key=value` a line, as in JupyterLab. */
  const lines = (about, reader, id) => {
    const { texts, messages } = about;
    const area = element("textarea", {
      id: `${id}-changes`, rows: 3, spellcheck: "false", autocomplete: "off",
      placeholder: "optimizer.learning_rate=0.003\nschedule.warmup_steps=50",
    });
    const label = element("label", { for: area.id }, texts.changes);
    const read = (source) => {
      const changes = {};
      area.removeAttribute("aria-invalid");
      for (const line of area.value.split("\n").filter((one) => one.trim())) {
        const [shortKey, typed] = reader.assignment(line, source);
        const key = reader.fullKey(shortKey);
        if (key in changes) {
          throw new course.config.Problem(fill(messages.at, { source: key, reason: messages.twice }));
        }
        reader.checkLeaf(key, typed, key);
        changes[key] = typed;
      }
      return changes;
    };
    const fillIn = (values) => {
      area.value = Object.entries(values).map(([key, value]) => `${key}=${value}`).join("\n");
    };
    const blame = () => {
      area.setAttribute("aria-invalid", "true");
      area.focus();
    };
    return { box: element("div", { class: "trainer-fields" }, label, area), read, fillIn, blame };
  };

  // ------------------------------------------------------------------------------------------- a run

  /** A run's line while it trains: how far it is, and the buttons that hold it. */
  const progressOf = (about, name) => {
    const { texts, messages } = about;
    const bar = element("progress", { max: 1, value: 0, "aria-label": name });
    const text = element("span", { class: "trainer-progress" });
    const box = element("div", { class: "trainer-running" }, bar, text);
    const show = (news) => {
      bar.value = news.step / news.steps;
      const rate = news.rate.toFixed(news.rate < 10 ? 1 : 0);
      if (news.state === "paused") text.textContent = fill(texts.paused, news);
      else if (!news.rate) text.textContent = texts.waiting;
      else if (news.secondsLeft === null) text.textContent = fill(texts.step, news);
      else {
        const left = duration(news.secondsLeft, messages);
        text.textContent = fill(texts.running, { ...news, rate, left });
      }
    };
    return { box, show };
  };

  const holdButtons = (about, name, held) => {
    const { texts } = about;
    let paused = false;
    const named = (made, action) => made.setAttribute("aria-label", fill(texts.of_run, { action, run: name }));
    const pause = button(texts.pause, "button", () => {
      paused = !paused;
      pause.textContent = paused ? texts.resume : texts.pause;
      named(pause, pause.textContent);
      held()[paused ? "pause" : "resume"]();
    });
    const stop = button(texts.stop, "button", () => held().stop());
    named(pause, texts.pause);
    named(stop, texts.stop);
    return [pause, stop];
  };

  // ------------------------------------------------------------------------------------------ curves

  const charts = (about, id, runs) => {
    const { texts } = about;
    const box = element("div", { class: "trainer-charts" });
    const variants = [...new Set(about.recorded.map((one) => one.variant))];
    const series = (name) => [
      ...about.recorded.map((one) => ({
        label: `${one.variant} ${one.seed}`, x: one.steps, style: variants.indexOf(one.variant), faint: true,
        values: one.values[about.quantities.indexOf(name)],
      })),
      ...runs().map((one) => ({
        label: one.name, x: one.result.records.map((record) => record.step),
        style: variants.length + one.number - 1, dash: [],
        values: one.result.records.map((record) => quantity(record, name) ?? null),
      })),
    ];
    const made = [];
    for (let i = 0; i < CHARTS; i += 1) {
      const options = about.quantities.map((name) => element("option", { value: name }, name));
      const select = element("select", { id: `${id}-curve-${i}` }, ...options);
      select.value = about.curves[i] ?? about.quantities[i];
      const label = element("label", { for: select.id }, `${texts.curve} ${i + 1}`);
      const place = element("div", {}, element("div", { class: "trainer-curve" }, label, select));
      box.append(place);
      let chart;
      const draw = () => {
        const name = select.value;
        const lines = series(name);
        const data = {
          title: name, x: [], series: lines, yRange: LOSSES.includes(name) ? 1.5 : undefined,
          labels: { x: texts.step_axis, table: texts.table },
        };
        place.hidden = !lines.length;
        if (chart) chart.update(data);
        else if (lines.length) chart = course.charts.draw(place, data);
      };
      select.addEventListener("change", draw);
      made.push(draw);
    }
    return { box, draw: () => made.forEach((one) => one()) };
  };

  /** The experiment's runs as a table over two leaves, with the reader's among them. */
  const mapOf = (about, runs) => {
    const { keys, quantity: name, cells } = about.map;
    const table = element("table", { class: "trainer-map" });
    const place = element("div", { class: "trainer-map-scroll", tabindex: "0", role: "region" });
    const caption = fill(about.texts.map, { quantity: name });
    place.setAttribute("aria-label", caption);
    place.append(table);
    let seen = 0;
    // Another seed is a run of the same place; so is one that is measured more often.
    const elsewhere = (config) =>
      Object.keys(config).some(
        (key) => ![...keys, "seed", "eval_interval"].includes(key) &&
          JSON.stringify(config[key]) !== JSON.stringify(about.config[key]),
      );
    const draw = () => {
      const mine = runs().filter(({ result }) => result.steps === result.config.steps && !elsewhere(result.config));
      const points = mine.map((run) => ({
        at: keys.map((key) => run.result.config[key]), run: run.name,
        value: quantity(run.result.records[run.result.records.length - 1], name),
      }));
      const axis = (i) =>
        [...new Set([...cells.map((one) => one[i]), ...points.map((one) => one.at[i])])].sort((a, b) => a - b);
      const [rows, columns] = [axis(0), axis(1)];
      const values = cells.map((one) => one[2]);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const cell = (row, column) => {
        const made = element("td");
        const recorded = cells.find((one) => one[0] === row && one[1] === column);
        if (recorded) {
          made.append(course.charts.format(recorded[2]));
          made.style.setProperty("--share", `${Math.round((100 * (high - recorded[2])) / (high - low || 1))}%`);
        }
        for (const { at, value, run } of points) {
          if (at[0] !== row || at[1] !== column) continue;
          const text = `${course.charts.format(value)} (${run})`;
          made.append(made.childNodes.length ? " " : "", element("strong", {}, text));
        }
        return made;
      };
      const head = (scope, text) => element("th", { scope }, element("code", {}, text));
      const [down, across] = keys.map((key) => key.split(".").pop());
      const corner = element("td", {}, element("code", {}, `${down} ↓ ${across} →`));
      table.replaceChildren(
        element("thead", {}, element("tr", {}, corner, ...columns.map((one) => head("col", one)))),
        element("tbody", {}, ...rows.map((row) =>
          element("tr", {}, head("row", row), ...columns.map((column) => cell(row, column))))),
      );
    };
    const follow = () => {
      draw();
      const mine = table.querySelectorAll("strong");
      if (mine.length > seen) place.scrollLeft = mine[mine.length - 1].parentNode.offsetLeft / 2;
      seen = mine.length;
    };
    return { box: element("div", {}, element("p", { class: "trainer-note" }, caption), place), draw: follow };
  };

  // ----------------------------------------------------------------------------------------- a panel

  const panel = (host) => {
    const about = described(host);
    const { texts, lab } = about;
    const id = `trainer-${(counted += 1)}`;
    const reader = course.config.reader(about);
    const address = `train:${about.experiment}/${about.variant}`;
    const kept = storage(`${about.experiment}/${about.variant}`);
    const busy = [() => runs.some((run) => run.hold)]; // what would be lost by leaving the page
    const runs = []; // the reader's: { number, name, shown, result, row }
    let numbers = 0;

    const title = lab ? texts.title_lab : texts.title;
    const box = element("section", { class: "trainer-panel", "aria-label": title });
    const message = element("p", { class: "trainer-message", role: "alert" });
    // Said when something begins or ends, not while it goes on.
    const live = element("p", { class: "trainer-quiet", role: "status" });
    const list = element("ol", { class: "trainer-runs" });
    const clear = button(texts.clear, "button", () => {
      for (const run of [...runs]) remove(run);
    });
    const note = element("p", { class: "trainer-note" }, texts.kept, " ", clear);
    const form = (lab ? lines : fields)(about, reader, id);
    const finished = () => runs.filter((run) => run.done);
    const shown = () => runs.filter((run) => run.shown && run.result.records.length);
    const pictures = charts(about, id, shown);
    const map = about.map && mapOf(about, shown);

    const redraw = () => {
      pictures.draw();
      map?.draw();
    };
    const keep = () => {
      const all = kept.write(finished().map(({ result }) => result));
      note.firstChild.textContent = all ? texts.kept : texts.not_kept;
      note.hidden = !runs.length;
    };
    const remove = (run) => {
      run.hold?.stop();
      runs.splice(runs.indexOf(run), 1);
      run.row.remove();
      trainForm.querySelector("button").focus({ preventScroll: true });
      keep();
      redraw();
    };

    /** The leaves of a run that are not as in the panel's config, as a reader would type them. */
    const changesOf = (config) =>
      Object.fromEntries(
        Object.keys(about.rules)
          .filter((key) => JSON.stringify(config[key]) !== JSON.stringify(about.config[key]))
          .map((key) => [key, reader.asTyped(key, config[key])]),
      );

    const linkTo = (changes) =>
      `#${[address, ...Object.entries(changes).map((pair) => pair.map(encodeURIComponent).join("="))].join("&")}`;

    const verdict = (result) => {
      const [first] = result.records;
      const last = result.records[result.records.length - 1];
      const hash = result.fingerprint.slice(0, DIGITS);
      const said = [
        fill(texts.result, {
          fingerprint: hash, train_loss: four(last.train_loss), val_loss: four(last.val_loss),
        }),
      ];
      const found = outcome(result, lab ? lab.ends : { healthy: [], broken: [] });
      if (found === "diverged") said.push(fill(texts.is_diverged, { first: four(first.train_loss) }));
      else if (lab) said.push(texts[`is_${found}`]);
      const book = about.names[hash];
      if (!lab) said.push(book ? fill(texts.is_book, { name: book }) : texts.is_new);
      if (result.config["optimizer.learning_rate"] > about.highest_rate) {
        said.push(fill(texts.hot, { limit: about.highest_rate }));
      }
      return said.join(" ");
    };

    /** A line of the list, with everything that can be done with the run. */
    const newRun = (config) => {
      const number = (numbers += 1);
      const changes = changesOf(config);
      const name = fill(texts.run, { number });
      const words = Object.entries(changes).map(([key, value]) => `${key.split(".").pop()}=${value}`);
      const run = { number, name, shown: true, done: false, result: { config, records: [], steps: 0 } };
      const box = element("input", { type: "checkbox", id: `${id}-run-${number}` });
      box.checked = true;
      box.setAttribute("aria-label", fill(texts.show, { run: name }));
      box.addEventListener("change", () => {
        run.shown = box.checked;
        redraw();
      });
      run.title = element("label", { for: box.id }, name, ": ",
        element("code", {}, words.join(" ") || texts.unchanged_run));
      run.actions = element("span", { class: "trainer-actions" });
      run.body = element("div", { class: "trainer-result" });
      run.link = linkTo(changes);
      run.row = element("li", {}, element("div", { class: "trainer-head" }, box, run.title, run.actions), run.body);
      runs.push(run);
      list.append(run.row);
      return run;
    };

    const removeButton = (run) => {
      const made = button(texts.remove, "button", () => remove(run));
      made.setAttribute("aria-label", fill(texts.of_run, { action: texts.remove, run: run.name }));
      return made;
    };

    const showResult = (run) => {
      const text = verdict(run.result);
      const file = new Blob([course.runs.runJson(run.result)], { type: "application/json" });
      const save = element("a", { href: URL.createObjectURL(file), download: "run.json" }, texts.download);
      const link = element("a", { href: run.link }, texts.link);
      run.done = true;
      run.hold = null;
      run.actions.replaceChildren(save, link, removeButton(run));
      run.body.replaceChildren(text);
      run.body.classList.toggle("trainer-good", Boolean(lab) && outcome(run.result, lab.ends) === "healthy");
      return text;
    };

    const ended = (run, text) => {
      run.hold = null;
      run.actions.replaceChildren(removeButton(run));
      run.body.replaceChildren(text);
      live.textContent = `${run.name}: ${text}`;
    };

    const refusal = ({ reason, detail }) => fill(texts[reason], { detail });

    const train = (config) => {
      const run = newRun(config);
      const progress = progressOf(about, run.name);
      run.body.replaceChildren(progress.box);
      live.textContent = `${run.name}: ${texts.training}`;
      let drawn = 0, last;
      run.hold = course.runs.train({ config, encoded: reader.encoded(config), code: about.code }, (news) => {
        last = news;
        run.result = news.result;
        if (news.state === "refused") {
          ended(run, refusal(news));
        } else if (news.state === "finished") {
          live.textContent = `${run.name}: ${showResult(run)}`;
          keep();
          redraw();
        } else progress.show(news);
        if (run.result.records.length > drawn) {
          drawn = run.result.records.length;
          redraw();
        }
      });
      const { stop } = run.hold;
      run.hold.stop = () => {
        stop();
        ended(run, fill(texts.stopped_run, last));
      };
      run.actions.replaceChildren(...holdButtons(about, run.name, () => run.hold));
      keep();
    };

    const complain = (error) => {
      if (!(error instanceof course.config.Problem)) throw error;
      message.textContent = error.message;
      return error.message;
    };

    const trainForm = element("form", { novalidate: "" }, form.box, button(texts.train, "submit"));
    trainForm.addEventListener("submit", (event) => {
      event.preventDefault();
      message.textContent = "";
      try {
        train(reader.patched(about.config, form.read(texts.yours), texts.yours));
      } catch (error) {
        form.blame(complain(error));
      }
    });
    if (!lab && !about.leaves.length) {
      form.box.append(element("p", {}, fill(texts.as_it_is, { name: `${about.experiment} ${about.variant}` })));
    }

    // ------------------------------------------------------------------------------------- an answer

    const answerForm = () => {
      const input = element("input", {
        id: `${id}-answer`, type: "text", autocomplete: "off", spellcheck: "false", placeholder: texts.placeholder,
      });
      const check = button(texts.check, "submit");
      const place = element("div", { class: "trainer-verdict", role: "status" });
      const made = element("form", { class: "trainer-answer", novalidate: "" },
        element("label", { for: input.id }, texts.answer), input, check);
      const say = (found, judgement, evidence, sentence) => {
        const values = { key: judgement.key };
        for (const side of ["typed", "healthy", "broken"]) {
          values[side] = reader.asTyped(judgement.key, judgement[side]);
        }
        place.className = `trainer-verdict trainer-${found ? "good" : "bad"}`;
        const line = `${found ? "✓" : "✗"} ${judgement.text}   ${evidence(values)}`;
        place.replaceChildren(element("code", {}, line), element("p", {}, fill(texts[sentence], values)));
      };

      let hold;
      const prove = (judgement) => {
        const { steps } = judgement.repaired;
        // What is recorded on the way changes nothing of the result, and takes time.
        const config = { ...judgement.repaired, eval_interval: steps };
        const progress = progressOf(about, texts.checking);
        let last;
        place.className = "trainer-verdict";
        const own = (hold = course.runs.train({ config, encoded: reader.encoded(config), code: about.code }, (news) => {
          last = news;
          if (news.state === "refused") place.replaceChildren(refusal(news));
          else if (news.state === "finished") {
            const [healthy] = lab.ends.healthy;
            const hash = news.result.fingerprint;
            const found = hash === healthy;
            const [left, right] = [hash, healthy].map((one) => one.slice(0, DIGITS));
            say(found, judgement, () => `${left} ${found ? "=" : "≠"} ${right}`,
              found ? "fixed" : hint(judgement, about.near));
          } else progress.show(news);
        }));
        const stop = button(texts.stop, "button", () => {
          own.stop();
          place.replaceChildren(texts.stopped_check);
        });
        if (last?.state === "refused") return;
        const which = element("code", {}, judgement.text);
        place.replaceChildren(element("p", {}, which, " ", texts.checking), progress.box, stop);
      };

      made.addEventListener("submit", (event) => {
        event.preventDefault();
        hold?.stop(); // of an earlier answer
        input.removeAttribute("aria-invalid");
        place.replaceChildren();
        try {
          const judgement = judge(reader, input.value, lab.config, about.config);
          const reason = contradicted(judgement);
          if (reason === "same") {
            say(false, judgement, (v) => `${lab.control} ${v.healthy} = ${lab.broken} ${v.broken}`, reason);
          } else if (reason) {
            say(false, judgement, (v) => `${lab.broken} ${v.broken} = ${v.typed}`, reason);
          } else prove(judgement);
        } catch (error) {
          if (!(error instanceof course.config.Problem)) throw error;
          place.className = "trainer-verdict trainer-bad";
          place.replaceChildren(error.message);
          input.setAttribute("aria-invalid", "true");
        }
      });
      // A verdict is about the answer that was checked, not about what is typed since.
      input.addEventListener("input", () => place.classList.add("trainer-stale"));
      busy.push(() => hold?.going());
      return [made, place];
    };

    // ---------------------------------------------------------------------------------------- a link

    /** Fill in what the address of the page asks for, if it is about this panel. */
    const follow = () => {
      const [which, ...pairs] = location.hash.slice(1).split("&");
      if (decodeURI(which) !== address) return;
      try {
        form.fillIn(Object.fromEntries(pairs.map((pair) => pair.split("=").map(decodeURIComponent))));
      } catch {
        return; // not a link of ours
      }
      box.scrollIntoView();
      trainForm.querySelector("button").focus({ preventScroll: true });
    };

    box.append(element("p", { class: "trainer-title" }, title), trainForm, message);
    if (lab) box.append(...answerForm());
    box.append(list, note);
    if (map) box.append(map.box);
    box.append(pictures.box, live);
    host.prepend(box);
    host.classList.add("trainer-live");
    for (const result of kept.read()) {
      try {
        const run = newRun(result.config);
        run.result = result;
        showResult(run);
      } catch {
        kept.write([]); // what an older page kept differently
        list.replaceChildren();
        runs.length = 0;
        break;
      }
    }
    keep();
    redraw();
    follow();
    addEventListener("hashchange", follow);
    addEventListener("beforeunload", (event) => {
      if (busy.some((one) => one())) event.preventDefault();
    });
  };

  if (window.WebAssembly && window.Worker) document.querySelectorAll(".trainer").forEach(panel);
})();
