// The config of a run, as the host hands it over: one double for each leaf, in the order of
// `config.py`. What is a name there is its place in the list of names here; null is 0.
#pragma once
#include "numbers.h"

typedef struct {
  double seed, steps, batch_size, eval_interval;
  struct {
    double n_layer, n_head, d_model, dropout, qkv_bias, tied_embedding;
  } model;
  struct {
    double name, learning_rate, beta1, beta2, eps, weight_decay, decay_mask, gradient_clip;
  } optimizer;
  struct {
    double warmup_steps, final_fraction;
  } schedule;
  struct {
    double dtype, grid_bits, autocast, loss_scale;
  } arithmetic;
  double faults; // no leaf of a config: which of the faults below are planted, as bits
} Config;

enum { ADAMW, ADAM };                  // optimizer.name
enum { MATRICES, NO_EMBEDDING, ALL };  // optimizer.decay_mask
enum { FLOAT64, FLOAT32 };             // arithmetic.dtype
enum { NO_AUTOCAST };                  // arithmetic.autocast

// Faults that a pull request of the course brings into the code, and no config can: see `faults/`.
enum { WIDE_EMBEDDING = 1, NO_CAUSAL_MASK = 2 };

static bool has_fault(const Config *config, int fault) { return (int)config->faults & fault; }

// What makes a run the same on every machine is float64 on the grid. Nothing else is trained here.
static bool is_covered(const Config *config) {
  return config->arithmetic.dtype == FLOAT64 && config->arithmetic.grid_bits > 0 &&
         config->arithmetic.autocast == NO_AUTOCAST;
}
