"use strict";
/* What a panel draws of the reader's runs: curves over those of the book, and a map of an experiment. */

Object.assign(course.trainer, (() => {
  const { element, fill } = course.dom;
  const { quantity } = course.runs;
  const CHARTS = 2;
  const LOSSES = ["val_loss", "train_loss"]; // they begin far above where they end

  const charts = (about, id, runs) => {
    const { texts } = about;
    const box = element("div", { class: "trainer-charts" });
    const variants = [...new Set(about.recorded.map((one) => one.variant))];
    const series = (name) => [
      ...about.recorded.map((one) => ({
        label: fill(texts.seeded, one), group: one.variant, x: one.steps, style: variants.indexOf(one.variant), faint: true,
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
          title: name, x: [], series: lines, yLog: LOSSES.includes(name),
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
      const corner = element("td", {}, element("code", {}, `${down} ↓`), element("br"), element("code", {}, `${across} →`));
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

  return { charts, mapOf };
})());
