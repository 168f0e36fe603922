"use strict";
/* How much of its start a run forgets: src/minitrain/pages/decay_timescale.py and
   schedule.learning_rate, in JavaScript. */
course.explorables.register("decay-timescale", (panel) => {
  const POINTS = 100;
  const MOST_STEPS = 2000000;

  /** Python's `//`: a quotient that was rounded up to a whole number is one too large. */
  const wholeQuotient = (a, b) => {
    const quotient = Math.floor(a / b);
    return quotient * b > a ? quotient - 1 : quotient;
  };

  const check = (recipe, steps) => {
    const problem = (...parts) => new course.explorables.Problem(panel, ...parts);
    const pull = recipe.learning_rate * recipe.weight_decay;
    if (pull >= 1) throw problem("ηλ", "less_than", pull, 1);
    if (steps < 2) throw problem("D/B", "at_least", steps, 2);
    if (steps > MOST_STEPS) throw problem("D/B", "at_most", steps, MOST_STEPS);
    if (recipe.warmup >= recipe.cosine) {
      throw problem("w", "less_than", recipe.warmup, recipe.cosine);
    }
  };

  const learningRates = (recipe, steps) => {
    const peak = recipe.learning_rate;
    const floor = recipe.final_fraction;
    const [warmup, cosine] = [recipe.warmup, recipe.cosine].map((share) =>
      Math.floor(share * steps + 0.5),
    );
    const horizon = Math.max(cosine, warmup + 1);
    const rates = new Float64Array(steps);
    for (let t = 0; t < steps; t += 1) {
      const step = Math.min(t, horizon - 1);
      if (step < warmup) rates[t] = (peak * (step + 1)) / (warmup + 1);
      else {
        const progress = (step - warmup) / Math.max(1, horizon - 1 - warmup);
        rates[t] = peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * progress)));
      }
    }
    return rates;
  };

  const forgetting = (recipe) => {
    const steps = wholeQuotient(recipe.data, recipe.batch_size);
    check(recipe, steps);
    const alphas = learningRates(recipe, steps);
    // Kahan's sum: the library's, math.fsum, is exact.
    let sum = 0;
    let lost = 0;
    for (let t = 0; t < steps; t += 1) {
      const term = alphas[t] - lost;
      const next = sum + term;
      lost = next - sum - term;
      sum = next;
      alphas[t] *= recipe.weight_decay;
    }
    const done = Array.from({ length: POINTS + 1 }, (_, i) => Math.floor((i * steps) / POINTS));
    const kept = [];
    for (let t = 0, product = 1, i = 0; t <= steps; t += 1) {
      for (; i <= POINTS && done[i] === t; i += 1) kept.push(product);
      if (t < steps) product *= 1 - alphas[t];
    }
    const memory = [];
    for (let t = steps - 1, product = 1, i = POINTS; t >= 0; t -= 1) {
      for (; i >= 0 && Math.min(done[i], steps - 1) === t; i -= 1) {
        memory.unshift(steps * alphas[t] * product);
      }
      product *= 1 - alphas[t];
    }
    return {
      steps,
      timescale: 1 / (recipe.learning_rate * recipe.weight_decay),
      tau: recipe.batch_size / (recipe.learning_rate * recipe.weight_decay * recipe.data),
      total: recipe.weight_decay * sum,
      left: kept[POINTS],
      kept,
      memory,
    };
  };

  const presets = Object.keys(panel.choices).filter((name) => name !== panel.own);
  const curves = {}; // of the presets, which never change

  return (choice, recipe) => {
    const found = forgetting(recipe);
    for (const name of presets) curves[name] ??= forgetting(panel.choices[name]).kept;
    const x = Array.from({ length: POINTS + 1 }, (_, i) => (100 * i) / POINTS);
    const label = panel.texts.choices[choice];
    const others = presets
      .filter((name) => name !== choice)
      .map((name) => ({
        label: panel.texts.choices[name],
        values: curves[name],
        style: 1 + presets.indexOf(name),
        faint: true,
      }));
    const rows = {
      steps: [found.steps],
      timescale: [found.timescale],
      tau: [found.tau],
      total: [found.total],
      left: [100 * found.left],
    };
    const status = panel.texts.status
      .replace("{total}", course.charts.format(found.total))
      .replace("{left}", course.charts.format(100 * found.left));
    return {
      rows,
      status,
      charts: {
        kept: { x, series: [{ label, values: found.kept, style: 0 }, ...others] },
        memory: { x, series: [{ label, values: found.memory, style: 0 }] },
      },
    };
  };
});
