// The learning-rate schedule of `schedule.py`.
#pragma once
#include "config.h"

static double learning_rate(int64_t step, const Config *config) {
  double peak = config->optimizer.learning_rate, warmup = config->schedule.warmup_steps;
  if ((double)step < warmup) return peak * (double)(step + 1) / (warmup + 1);
  double rest = config->steps - 1 - warmup, sine, cosine;
  double progress = ((double)step - warmup) / (rest < 1 ? 1 : rest);
  sine_cosine(PI * progress, &sine, &cosine);
  double floor = config->schedule.final_fraction;
  return peak * (floor + (1 - floor) * 0.5 * (1 + cosine));
}
