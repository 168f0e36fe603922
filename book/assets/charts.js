"use strict";
/* Line charts for the course's live panels, on top of uPlot (vendor/uplot). A classic script; its one
   global is `course`, which the panels share.

     const chart = course.charts.draw(element, {
       title: "θ", x: [0, 1, 2], yLog: false, height: 220,
       series: [{ label: "AdamW", values: [0.4, 0.39, 0.38] }],
       labels: { x: "step", table: "The values as a table" },
     });
     chart.update({ x, series });   // any of the keys above; the others stay
     chart.destroy();

   A series may have an `x` of its own, a `style` (0 to 5: its colour and dash; its position if left
   out), a `dash` (lengths, as for a canvas) in place of its style's, and may be `faint`: a thin line in
   the background. A value that is not finite is a gap; so is, on a logarithmic axis, one that is not
   positive; `undefined` is a point that was not measured, which the line passes over. Every text comes
   from the caller, in the page's language. */
window.course = window.course || {};

window.course.charts = (() => {
  const DASHES = [[], [8, 4], [2, 4], [10, 4, 2, 4], [5, 3], [14, 4]];
  const ROWS = 101; // at most about so many in the table

  /** A number as short as four significant digits allow. */
  const format = (value) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (value !== 0 && (size < 1e-3 || size >= 1e6)) {
      return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e").replace(/-/g, "−");
    }
    // Whole from 1000 on; from five digits on, groups of three with narrow spaces.
    const text = String(Number(value.toFixed(Math.max(0, 3 - Math.floor(Math.log10(size || 1))))));
    if (size >= 1e4) return text.replace(/\B(?=(\d{3})+$)/g, "\u202f").replace("-", "−");
    return text.replace("-", "−");
  };

  const { element } = window.course.dom;

  const variable = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const styleOf = (series, position) => (series.style ?? position) % DASHES.length;
  const dashOf = (series, position) => series.dash ?? DASHES[styleOf(series, position)];

  const known = (value, log) => {
    if (value === undefined) return undefined;
    return Number.isFinite(value) && !(log && value <= 0) ? value : null;
  };

  /** The columns that uPlot draws: one x for all series. */
  const columns = ({ x, series, yLog }) => {
    const values = series.map((one) => one.values.map((value) => known(value, yLog)));
    if (!series.some((one) => one.x)) return [x, ...values];
    return uPlot.join(series.map((one, i) => [one.x || x, values[i]]));
  };

  /** What must be the same for new values to fit into the chart that is there. */
  const shape = ({ title, series, yLog, labels, height }) =>
    JSON.stringify([
      title, yLog, labels, height,
      series.map((one, i) => [one.label, dashOf(one, i), styleOf(one, i), one.faint]),
    ]);

  /** A line of the legend's own: colour and dash as in the plot. */
  const sample = (series, position) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const line = document.createElementNS(svg.namespaceURI, "line");
    const attributes = { x1: 0, y1: 5, x2: 34, y2: 5, "stroke-width": series.faint ? 1.2 : 2.4 };
    for (const [key, value] of Object.entries(attributes)) line.setAttribute(key, value);
    line.setAttribute("stroke-dasharray", dashOf(series, position).join(" "));
    line.style.stroke = `var(--course-series-${styleOf(series, position)})`;
    for (const [key, value] of [["width", 34], ["height", 10], ["aria-hidden", "true"]]) {
      svg.setAttribute(key, value);
    }
    svg.append(line);
    return svg;
  };

  /** Series of one group, such as the seeds of a variant, share a line, which shows their range. */
  const legend = (series) => {
    const list = element("ul", { class: "course-chart-legend" });
    const readouts = [];
    series.forEach((one, i) => {
      const shared = one.group && readouts.find(({ group }) => group === one.group);
      if (shared) {
        shared.members.push(i);
        return;
      }
      const place = element("span", { class: "course-chart-value" });
      list.append(element("li", {}, sample(one, i), ` ${one.group ?? one.label} `, place));
      readouts.push({ group: one.group, members: [i], place });
    });
    return { list, readouts };
  };

  const range = (numbers) => {
    const known = numbers.filter(Number.isFinite);
    const ends = known.length > 1 ? [Math.min(...known), Math.max(...known)] : known;
    return [...new Set(ends.map(format))].join("…");
  };

  /** The indices of the rows that the table shows: all, or evenly spread ones and the last. */
  const rowsShown = (length) => {
    const every = Math.max(1, Math.ceil(length / ROWS));
    const rows = [];
    for (let i = 0; i < length; i += every) rows.push(i);
    if (length && rows[rows.length - 1] !== length - 1) rows.push(length - 1);
    return rows;
  };

  const table = ({ title, labels, series }, data) => {
    const heads = [labels.x, ...series.map((one) => one.label)];
    const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
    const body = element("tbody");
    for (const row of rowsShown(data[0].length)) {
      body.append(element("tr", {}, ...data.map((column) => element("td", {}, format(column[row])))));
    }
    return element("table", {}, element("caption", {}, title), element("thead", {}, head), body);
  };

  // uPlot rules a line for each of 2, 3, ... 9 in every decade, which over many decades is a grey block.
  const decades = (_plot, splits) =>
    splits.map((split) => (Number.isInteger(Number(Math.log10(split).toFixed(9))) ? split : null));

  const axis = (label) => ({
    label,
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    labelSize: label ? 18 : 0,
    stroke: () => variable("--pst-color-text-muted"),
    grid: { stroke: () => variable("--course-grid"), width: 1 },
    ticks: { show: false },
    values: (_plot, ticks) => ticks.map((tick) => (tick === null ? "" : format(tick))),
  });

  // uPlot goes out to whole decades, which squeezes what spans less than two.
  const tight = (_plot, low, high) => {
    if (!(low < high && high < 100 * low)) return uPlot.rangeLog(low, high, 10, false);
    const digit = (value, round) => {
      const unit = 10 ** Math.floor(Math.log10(value));
      return round(value / unit) * unit;
    };
    return [digit(low, Math.floor), digit(high, Math.ceil)];
  };

  const options = (state, width, onCursor) => ({
    width,
    height: state.height ?? 220,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
    scales: { x: { time: false }, y: { distr: state.yLog ? 3 : 1, ...(state.yLog && { range: tight }) } },
    axes: [
      { ...axis(state.labels.x), size: 30 },
      // As wide as its longest number, which changes with the values.
      {
        ...axis(),
        size: (_plot, ticks) => 14 + 7 * Math.max(3, ...(ticks || []).map((text) => text.length)),
        grid: { ...axis().grid, ...(state.yLog && { filter: decades }) },
      },
    ],
    series: [
      {},
      ...state.series.map((one, i) => ({
        label: one.label,
        stroke: () => variable(`--course-series-${styleOf(one, i)}`),
        dash: dashOf(one, i),
        width: one.faint ? 1.2 : 2,
        alpha: one.faint ? 0.55 : 1,
        // A line of one point would not be seen.
        points: { show: (chart, k) => chart.data[k].filter(Number.isFinite).length === 1 },
      })),
    ],
    hooks: { setCursor: [onCursor] },
  });

  const draw = (host, data) => {
    let state = { yLog: false, ...data };
    let plot, values, drawn, readouts, readX;
    let waiting = false;

    const root = element("figure", { class: "course-chart" });
    const caption = element("figcaption");
    const plotted = element("div", { class: "course-chart-plot", role: "img", tabindex: "0" });
    const details = element("details", { class: "course-chart-table" });
    const summary = element("summary");
    const scroller = element("div", { class: "course-chart-scroll", role: "region", tabindex: "0" });
    details.append(summary, scroller);
    host.append(root);

    const read = () => {
      const at = plot?.cursor.idx;
      const inside = at !== null && at !== undefined && at < values[0].length;
      readX.textContent = inside ? `${state.labels.x} ${format(values[0][at])}` : "";
      for (const { members, place } of readouts) {
        place.textContent = inside ? range(members.map((i) => values[i + 1][at])) : "";
      }
    };

    const fillTable = () => scroller.replaceChildren(...(details.open ? [table(state, values)] : []));

    const build = () => {
      plot?.destroy();
      plot = undefined;
      drawn = shape(state);
      caption.replaceChildren(state.title, " ", (readX = element("span", { class: "course-chart-value" })));
      const made = legend(state.series);
      readouts = made.readouts;
      plotted.setAttribute("aria-label", `${state.title}: ${state.series.map((s) => s.label).join(", ")}`);
      summary.textContent = state.labels.table;
      scroller.setAttribute("aria-label", `${state.title}: ${state.labels.table}`);
      root.replaceChildren(caption, made.list, plotted, details);
      // In a folded part of the page there is no width yet; the observer will come back.
      if (plotted.clientWidth) {
        plot = new uPlot(options(state, plotted.clientWidth, read), values, plotted);
      }
    };

    const show = () => {
      values = columns(state);
      if (!plot || drawn !== shape(state)) build();
      else plot.setData(values);
      read();
      fillTable();
    };

    // Values may come faster than a screen can show them.
    const update = (changes) => {
      state = { ...state, ...changes };
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        if (root.isConnected) show();
      });
    };

    const move = (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
      const last = values[0].length - 1;
      if (!plot || last < 0) return;
      let at = plot.cursor.idx ?? -1;
      if (event.key === "Home") at = 0;
      else if (event.key === "End") at = last;
      else if (event.key in steps) at += steps[event.key];
      else return;
      event.preventDefault();
      at = Math.min(last, Math.max(0, at));
      plot.setCursor({ left: plot.valToPos(values[0][at], "x"), top: 0 });
    };

    const resized = new ResizeObserver(() => {
      if (!plot) build();
      else if (plotted.clientWidth && plotted.clientWidth !== plot.width) {
        plot.setSize({ width: plotted.clientWidth, height: plot.height });
      }
    });
    const themed = new MutationObserver(() => plot?.redraw(false, true));

    plotted.addEventListener("keydown", move);
    details.addEventListener("toggle", fillTable);
    show();
    resized.observe(plotted);
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });

    return {
      update,
      destroy: () => {
        resized.disconnect();
        themed.disconnect();
        plot?.destroy();
        root.remove();
      },
    };
  };

  return { draw, format };
})();
