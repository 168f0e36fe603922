"use strict";
/* The frame of an explorable (directive {explorable}): its handles, charts, table of results and
   messages, all from the description that the page carries as JSON. What follows from the handles is
   computed by a script of the explorable's own, which registers it:

     course.explorables.register("one-weight", (panel) => (choice, values) => ({ rows, charts }));

   `panel` is the description. `rows` are the lines of the table, by key; `charts` are what
   course.charts.draw takes, by key. Both are compared with the library's numbers by a test. */
window.course = window.course || {};

window.course.explorables = (() => {
  const QUIET = 700; // milliseconds without a move before anything is said
  const SLIDER_STEPS = 200;
  const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  const { decimalComma, element, fill, shortened } = course.dom;
  const compute = {};
  let mounted = 0;

  /** What a reader typed that cannot be: one line, as the library would say it. */
  class Problem extends Error {
    constructor(panel, source, key, value, limit) {
      const reason = fill(panel.messages[key], { limit });
      super(
        fill(panel.messages.at, { source, reason: fill(panel.messages.got, { reason, value }) }),
      );
    }
  }

  /** A number as one types it: short, and exactly the same number. */
  const typed = (value) =>
    Math.abs(value) >= 1e6 ? value.toExponential().replace("e+", "e") : String(value);

  const parse = (panel, handle, text) => {
    const plain = text.trim().replace("−", "-");
    const problem = (key, limit) => new Problem(panel, handle.symbol, key, shortened(text), limit);
    if (!NUMBER.test(plain)) {
      throw new Problem(panel, handle.symbol, decimalComma(text) ? "point" : "number", `'${shortened(text)}'`);
    }
    const value = Number(plain);
    if (!Number.isFinite(value)) throw problem("finite");
    if (handle.whole && !Number.isInteger(value)) throw problem("whole_number");
    if (value < handle.least) throw problem("at_least", handle.least_text);
    if (value > handle.most) throw problem("at_most", handle.most_text);
    return value;
  };

  // The slider and its number; the same as `value_at` and `position_of` of the library's handles.
  const valueAt = ({ slide: [low, high], log, whole }, position) => {
    const share = position / SLIDER_STEPS;
    const value = log
      ? Number((10 ** (Math.log10(low) + share * Math.log10(high / low))).toPrecision(2))
      : Number((low + share * (high - low)).toPrecision(3));
    return whole ? Math.round(value) : value;
  };

  const positionOf = ({ slide: [low, high], log }, value) => {
    if (value <= low) return 0;
    const share = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return Math.min(SLIDER_STEPS, Math.round(SLIDER_STEPS * share));
  };

  /** One handle: a label, the number, and a slider for the part of it worth sliding over. */
  const handleRow = (panel, handle, id, statusId, moved) => {
    const name = `${panel.texts.handles[handle.key]}, ${handle.symbol}`;
    const label = element("label", { for: id }, name);
    const number = element("input", {
      id, type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false",
      "data-handle": handle.key,
    });
    const slider = element("input", {
      type: "range", min: 0, max: SLIDER_STEPS,
      "aria-label": panel.common.slider.replace("{name}", name),
    });
    const follow = (value) => {
      slider.value = positionOf(handle, value);
      slider.setAttribute("aria-valuetext", typed(value));
    };
    const set = (value) => {
      number.value = typed(value);
      follow(value);
    };
    number.addEventListener("input", () => {
      try {
        follow(parse(panel, handle, number.value));
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
      }
      moved();
    });
    slider.addEventListener("input", () => {
      set(valueAt(handle, Number(slider.value)));
      moved();
    });
    const read = () => {
      number.removeAttribute("aria-invalid");
      number.removeAttribute("aria-describedby");
      try {
        return parse(panel, handle, number.value);
      } catch (problem) {
        number.setAttribute("aria-invalid", "true");
        number.setAttribute("aria-describedby", statusId);
        throw problem;
      }
    };
    return { set, read, row: element("div", { class: "explorable-handle" }, label, number, slider) };
  };

  const choiceRow = (panel, id, chosen) => {
    const options = Object.keys(panel.choices).map((name) =>
      element("option", { value: name }, panel.texts.choices[name]),
    );
    const select = element("select", { id, "data-handle": "choice" }, ...options);
    select.addEventListener("change", chosen);
    const label = element("label", { for: id }, panel.texts.choice);
    return { select, row: element("div", { class: "explorable-handle" }, label, select) };
  };

  /** The table of results; `fill` writes the numbers, whole ones as they are. */
  const resultsTable = (panel) => {
    const heads = ["", ...panel.columns].map((text) =>
      text ? element("th", { scope: "col" }, text) : element("td"),
    );
    const body = element("tbody");
    const cells = {};
    for (const [key, name] of Object.entries(panel.texts.rows)) {
      cells[key] = panel.columns.map(() => element("td", { "data-row": key }));
      body.append(element("tr", {}, element("th", { scope: "row" }, name), ...cells[key]));
    }
    const table = element("table", { class: "explorable-results" });
    table.append(element("caption", {}, panel.common.results));
    if (panel.columns.some(Boolean)) table.append(element("thead", {}, element("tr", {}, ...heads)));
    table.append(body);
    const fill = (rows) => {
      for (const [key, values] of Object.entries(rows)) {
        values.forEach((value, i) => {
          const text = value === null ? panel.common.never : course.charts.format(value);
          cells[key][i].textContent = text;
          cells[key][i].setAttribute("data-value", String(value));
        });
      }
    };
    return { table, fill };
  };

  const mount = (host, name) => {
    const panel = JSON.parse(host.querySelector("script[type='application/json']").textContent);
    const results = compute[name] || (compute[name] = register.makers[name](panel));
    const id = `explorable-${(mounted += 1)}`;
    const box = element("section", { class: "explorable-panel", "aria-label": panel.texts.title });
    const statusId = `${id}-status`;
    const status = element("p", { id: statusId, class: "explorable-status", role: "status" });
    const shownResults = resultsTable(panel);
    const chartsBox = element("div", { class: "explorable-charts" });
    const charts = {};
    let asked = false;
    let timer;

    const say = (text) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        status.textContent = text;
      }, QUIET);
    };

    const show = () => {
      try {
        const values = {};
        for (const { key } of panel.handles) values[key] = rows[key].read();
        const found = results(choice.select.value, values);
        box.classList.remove("explorable-stale");
        shownResults.fill(found.rows);
        for (const [key, chart] of Object.entries(found.charts)) {
          if (charts[key]) charts[key].update(chart);
          else {
            const labels = { x: panel.texts.x, table: panel.common.table };
            const place = element("div");
            chartsBox.append(place);
            charts[key] = course.charts.draw(place, {
              title: panel.texts.charts[key], labels, height: 200, ...chart,
            });
          }
        }
        say(found.status);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        box.classList.add("explorable-stale");
        say(problem.message);
      }
    };

    // A slider reports more moves than a screen shows.
    const ask = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        show();
      });
    };

    const set = (values) => {
      for (const [key, value] of Object.entries(values)) rows[key].set(value);
    };
    const moved = () => {
      if (panel.own) choice.select.value = panel.own;
      ask();
    };
    const choice = choiceRow(panel, `${id}-choice`, () => {
      set(panel.choices[choice.select.value]);
      ask();
    });
    const rows = {};
    for (const handle of panel.handles) {
      rows[handle.key] = handleRow(panel, handle, `${id}-${handle.key}`, statusId, moved);
    }
    const restart = () => {
      choice.select.value = panel.first;
      set(panel.start);
      ask();
    };
    const reset = element("button", { type: "button", class: "explorable-reset" }, panel.common.reset);
    reset.addEventListener("click", restart);

    const handles = element("div", { class: "explorable-handles" }, choice.row);
    handles.append(...panel.handles.map(({ key }) => rows[key].row));
    box.append(
      element("p", { class: "course-panel-title" }, panel.texts.title),
      handles, reset, status, chartsBox, shownResults.table,
    );
    host.prepend(box);
    host.classList.add("explorable-live");
    choice.select.value = panel.first;
    set(panel.start);
    show();
  };

  const register = (name, maker) => {
    register.makers[name] = maker;
    for (const host of document.querySelectorAll(`.explorable.explorable-${name}`)) {
      mount(host, name);
    }
  };
  register.makers = {};

  return { register, compute, Problem };
})();
