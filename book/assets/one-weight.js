"use strict";
/* One weight under AdamW and Adam-L2: src/minitrain/pages/one_weight.py and optim.Adam, in JavaScript.
   What they round differently in the last bit disappears on the grid. */
course.explorables.register("one-weight", (panel) => {
  const EPS = 1e-8;
  const BURST = 50;
  const SEED = 18;
  const GRID = 2 ** 36;

  const noise = (steps) => {
    const values = [];
    for (let t = 0, state = SEED; t < steps; t += 1) {
      state = (Math.imul(1664525, state) + 1013904223) >>> 0;
      values.push(Math.sqrt(3) * ((2 * (state + 0.5)) / 2 ** 32 - 1));
    }
    return values;
  };
  const every = (rule) => (steps) => Array.from({ length: steps }, (_, t) => rule(t));
  const STREAMS = {
    zero: every(() => 0),
    constant: every(() => 1),
    alternating: every((t) => (t % 2 === 0 ? 1 : -1)),
    noise,
    burst: every((t) => (t < BURST ? 1 : 0)),
  };

  /** As torch.lerp: from the nearer end. */
  const lerp = (a, b, weight) =>
    weight < 0.5 ? a + weight * (b - a) : b - (b - a) * (1 - weight);

  /** The nearest point of the grid; of two, the even one. */
  const rounded = (theta) => {
    const magic = 1.5 * 2 ** 52; // beside it, the last bit of a number is worth 1
    return (theta * GRID + magic - magic) / GRID;
  };

  const check = ({ learning_rate: eta, weight_decay: lambda }) => {
    if (eta * lambda >= 1) {
      throw new course.explorables.Problem(panel, "ηλ", "less_than", eta * lambda, 1);
    }
  };

  const path = (stream, settings, decay) => {
    const { size, beta1, beta2, steps } = settings;
    const eta = settings.learning_rate;
    const lambda = settings.weight_decay;
    let theta = settings.theta;
    let m = 0;
    let v = 0;
    const found = { theta: [theta], m_hat: [NaN], root_v_hat: [NaN] };
    STREAMS[stream](steps).forEach((unit, i) => {
      const correction1 = 1 - beta1 ** (i + 1);
      const correction2 = 1 - beta2 ** (i + 1);
      let g = size * unit;
      if (decay === "l2") g += lambda * theta;
      else theta *= 1 - eta * lambda;
      m = lerp(m, g, 1 - beta1);
      v = v * beta2 + (1 - beta2) * g * g;
      const denominator = Math.sqrt(v) * correction2 ** -0.5 + EPS;
      theta = rounded(theta + ((-eta / correction1) * m) / denominator);
      found.theta.push(theta);
      found.m_hat.push(m / correction1);
      found.root_v_hat.push(Math.sqrt(v / correction2));
    });
    return found;
  };

  const last = (values) => values[values.length - 1];

  const crossing = (theta) => {
    const step = theta.findIndex((value, t) => t > 0 && value * theta[0] <= 0);
    return step < 0 ? null : step;
  };

  return (stream, settings) => {
    check(settings);
    const paths = ["decoupled", "l2"].map((decay) => path(stream, settings, decay));
    const x = Array.from({ length: settings.steps + 1 }, (_, t) => t);
    const chart = (key) => ({
      x,
      series: paths.map((one, i) => ({ label: panel.columns[i], values: one[key] })),
    });
    const start = settings.theta;
    const rows = {
      end: paths.map(({ theta }) => last(theta)),
      lost: paths.map(({ theta }) => start - last(theta)),
      share: paths.map(({ theta }) => (start ? (100 * (start - last(theta))) / start : null)),
      m_hat: paths.map((one) => last(one.m_hat)),
      root_v_hat: paths.map((one) => last(one.root_v_hat)),
      crossing: paths.map(({ theta }) => crossing(theta)),
    };
    const status = panel.texts.status
      .replace("{steps}", settings.steps)
      .replace("{adamw}", course.charts.format(rows.end[0]))
      .replace("{l2}", course.charts.format(rows.end[1]));
    return {
      rows,
      status,
      charts: { theta: chart("theta"), m_hat: chart("m_hat"), root_v_hat: chart("root_v_hat") },
    };
  };
});
