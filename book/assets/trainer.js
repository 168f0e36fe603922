"use strict";
/* The panels of {trainer}: a form, the reader's runs, their curves over those of the book, and in a lab
   the check of an answer. What a panel knows is in the page; see `_ext/course/trainer.py`. */

(() => {
  const { element, fill } = course.dom;
  const { outcome } = course.judgement;
  const { button, storage, progressOf, holdButtons, fields, lines, charts, mapOf, answerForm } = course.trainer;
  const MOST_KEPT = 12; // runs of one panel in the browser's storage
  const SHARED_FOR = 3000; // milliseconds in which a link says that it was copied
  const DIGITS = 12; // of a fingerprint that is shown
  let counted = 0;

  const described = (host) => {
    const about = JSON.parse(host.querySelector("script").textContent);
    const sealed = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(about.sealed), (one) => one.charCodeAt(0))));
    const { config, lab } = sealed;
    // Of the healthy config, the page carries where it differs; of shares, thousandths.
    if (lab) lab.config = { ...config, ...lab.healthy };
    about.quantities.forEach((name, i) => {
      if (!name.startsWith("accuracy")) return;
      for (const run of about.recorded) run.values[i] = run.values[i].map((x) => x === null ? x : x / 1000);
    });
    // A case has a fault in its code, which the kernel plants; see `bench.js`.
    const planted = sealed.bench?.planted ?? { changes: {}, bits: 0 };
    return { ...about, config, lab, sealed: sealed.bench, planted, code: sealed.bench?.code ?? about.code };
  };

  /** Four significant digits, as Python's `.4g`. */
  const four = (value) => (value === null ? "nan" : String(Number(value.toPrecision(4))));

  // ----------------------------------------------------------------------------------------- a panel

  const panel = (host) => {
    const about = described(host);
    const { texts, lab } = about;
    const id = `trainer-${(counted += 1)}`;
    const reader = course.config.reader(about);
    const address = `train:${about.experiment}/${about.variant}`;
    const kept = storage(`course.runs ${about.experiment}/${about.variant}`);
    const draft = storage(`course.typed ${about.experiment}/${about.variant}`);
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
    const bench = about.bench && course.trainer.benchOf(about, (place) => answer.choose(place));
    const answer = lab && answerForm(about, reader, id, bench);
    const shown = () => runs.filter((run) => run.shown && run.result.records.length);
    const pictures = charts(about, id, shown);
    pictures.box.addEventListener("change", () => bench?.use("curves"));
    const map = about.map && mapOf(about, shown);

    const redraw = () => {
      pictures.draw();
      map?.draw();
    };
    /** Finished runs as their results, the others as their configs. */
    const keep = () => {
      const all = runs.filter((run) => !run.refused)
        .map(({ done, result }) => (done ? result : { config: result.config, unfinished: true }));
      const whole = kept.write(all.slice(-MOST_KEPT)) && all.length <= MOST_KEPT;
      note.firstChild.textContent = whole ? texts.kept : texts.not_kept;
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

    /** How the book's runs of the same seed and length end, where it has them. */
    const besideBook = ({ config }) => {
      const at = about.quantities.indexOf("val_loss");
      if (at < 0 || !texts.beside) return [];
      const end = (variant) => {
        const run = about.recorded.find((one) => one.variant === variant && one.seed === config.seed);
        return run?.steps[run.steps.length - 1] === config.steps ? run.values[at][run.values[at].length - 1] : null;
      };
      const [healthy, broken] = [lab.control, lab.broken].map(end);
      return healthy === null || broken === null ? [] : [fill(texts.beside, { healthy: four(healthy), broken: four(broken) })];
    };

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
      else if (lab) said.push(texts[`is_${found}`], ...(found === "another" ? besideBook(result) : []));
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
      link.addEventListener("click", (event) => share(event, link));
      run.done = true;
      run.hold = null;
      run.actions.replaceChildren(save, link, removeButton(run));
      run.body.replaceChildren(text);
      run.body.classList.toggle("trainer-good", Boolean(lab) && outcome(run.result, lab.ends) === "healthy");
      return text;
    };

    const showUnfinished = (run, text) => {
      run.hold = null;
      const again = button(texts.train, "button", () => start(run));
      again.setAttribute("aria-label", fill(texts.of_run, { action: texts.train, run: run.name }));
      run.actions.replaceChildren(again, removeButton(run));
      run.body.replaceChildren(text);
    };

    const ended = (run, text) => {
      showUnfinished(run, text);
      live.textContent = `${run.name}: ${text}`;
    };

    const share = async (event, link) => {
      event.preventDefault();
      history.replaceState(null, "", link.getAttribute("href"));
      const copied = await navigator.clipboard?.writeText(link.href).then(() => true, () => false);
      link.textContent = live.textContent = copied ? texts.copied : texts.in_address;
      setTimeout(() => {
        link.textContent = texts.link;
      }, SHARED_FOR);
    };

    const refusal = ({ reason, detail }) => fill(texts[reason], { detail });

    const start = (run) => {
      const { config } = run.result;
      const progress = progressOf(about, run.name);
      run.body.replaceChildren(progress.box);
      live.textContent = `${run.name}: ${texts.training}`;
      let drawn = 0, last;
      const encoded = reader.encoded({ ...config, ...about.planted.changes }, about.planted.bits);
      bench?.use("edits");
      run.hold = course.runs.train({ config, encoded, code: about.code }, (news) => {
        last = news;
        run.result = news.result;
        if (news.state === "refused") {
          run.refused = true;
          ended(run, refusal(news));
          run.actions.replaceChildren(removeButton(run));
          keep();
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

    /** A run of that config that was begun and not finished: to train it is to go on with it. */
    const unfinished = (config) =>
      runs.find((run) => !run.done && !run.hold && !run.refused && JSON.stringify(run.result.config) === JSON.stringify(config));

    const complain = (error) => {
      if (!(error instanceof course.config.Problem)) throw error;
      message.textContent = error.message;
      return error.message;
    };

    const reset = button(texts.reset, "button", () => {
      form.fillIn({});
      noteTyped();
      message.textContent = "";
      trainForm.querySelector("button").focus();
    });
    const untouched = JSON.stringify(form.typed());
    /** Keep what is typed: a page is left by accident. */
    const noteTyped = () => {
      const touched = JSON.stringify(form.typed()) !== untouched;
      reset.hidden = !touched;
      draft.write([touched ? form.typed() : null, answer?.input.value ?? ""]);
    };
    const trainForm = element("form", { novalidate: "" }, form.box, button(texts.train, "submit"), " ", reset);
    trainForm.addEventListener("submit", (event) => {
      event.preventDefault();
      message.textContent = "";
      try {
        const config = reader.patched(about.config, form.read(texts.your_changes), texts.your_changes);
        start(unfinished(config) ?? newRun(config));
      } catch (error) {
        form.blame(complain(error));
      }
    });
    if (!lab) {
      const sentence = texts[about.leaves.length ? "the_rest" : "as_it_is"];
      const [before, after] = sentence.split("{name}").map((part) => fill(part, about.config));
      form.box.append(element("p", {}, before, element("code", {}, `${about.experiment} ${about.variant}`), after));
    }

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
      noteTyped();
      box.scrollIntoView();
      trainForm.querySelector("button").focus({ preventScroll: true });
    };

    box.append(element("p", { class: "course-panel-title" }, title));
    if (bench) box.append(...bench.boxes);
    box.append(trainForm, message);
    if (answer) box.append(...answer.boxes);
    if (bench) box.append(bench.score);
    const [drafted, draftedAnswer] = draft.read();
    if (drafted) form.restore(drafted);
    if (answer && draftedAnswer) answer.input.value = draftedAnswer;
    noteTyped();
    box.addEventListener("input", noteTyped);
    // A complaint is about what was typed then.
    trainForm.addEventListener("input", () => {
      message.textContent = "";
    });
    box.append(list, note);
    if (map) box.append(map.box);
    box.append(pictures.box, live);
    host.prepend(box);
    host.classList.add("trainer-live");
    for (const result of kept.read()) {
      try {
        const run = newRun(result.config);
        if (result.unfinished) showUnfinished(run, texts.unfinished);
        else {
          run.result = result;
          showResult(run);
        }
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
      // What a run has come to is lost.
      if (runs.some((run) => run.hold) || answer?.busy()) event.preventDefault();
    });
  };

  if (window.WebAssembly && window.Worker) document.querySelectorAll(".trainer").forEach(panel);
})();
