// The course's training in C, to the same bytes as `minitrain` in PyTorch: read it beside model.py,
// optim.py and loop.py, whose names it has. It needs no library and no operating system, so that it
// runs as it is on any processor and as WebAssembly in a page.
//
// The host (kernel.py, or kernel.js in a page) provides memory and the corpus; see the exports at the
// end. The files build on one another:
//
//   numbers -> sha256 -> random -+-> corpus -+-> layers -> model -> optim -> metrics -> minitrain.c
//   numbers -> config -> schedule           matmul
#include "metrics.h"
#include "schedule.h"

#ifdef __wasm__
#define EXPORT __attribute__((visibility("default")))
#else
#define EXPORT __attribute__((visibility("default"), used))
#endif

// Items whose activations are kept at once: a batch goes through the model in parts of so many, which
// fit into a core's cache, and their gradients add up.
enum { AT_ONCE = 8 };

// What was measured after `step` updates, as `loop.Record`: all doubles, so that a host can read it as
// an array. Where a number does not exist (at step 0, or a kind that the model lacks) it is NaN.
typedef struct {
  double step, learning_rate, gradient_norm;
  Evaluation of[SPLITS];
  double weight_norms[KINDS], update_norms[KINDS], gradient_scales[KINDS];
} Record;

typedef struct {
  Config config;
  int64_t step, tokens;
  bool diverged;
  Record record; // the last one
  uint8_t fingerprint[32]; // of the parameters that it measured
  GPT model;
  Batch batch;      // of a step
  Batch part;       // of it, or of an evaluation
  uint8_t *indices; // (steps, batch_size): which items each step sees
  Item *items;      // (N_TRAIN + N_VAL)
} Training;

static Training *take_training(Arena *arena, const Config *config) {
  Training counted, *training = take(arena, sizeof(Training));
  if (!training) training = &counted;
  training->config = *config;
  take_batch(&training->batch, arena, (int)config->batch_size);
  take_batch(&training->part, arena, AT_ONCE);
  training->indices = take(arena, (size_t)(config->steps * config->batch_size));
  training->items = take(arena, (N_TRAIN + N_VAL) * sizeof(Item));
  take_model(&training->model, arena, config, AT_ONCE);
  return arena->base ? training : NULL;
}

static void record(Training *training, double rate, double norm) {
  const Parameters *all = &training->model.parameters;
  Record *new = &training->record;
  bool updated = training->step > 0;
  new->step = (double)training->step;
  new->learning_rate = rate;
  new->gradient_norm = norm;
  new->of[TRAIN] = evaluate(&training->model, &training->part, training->items, N_TRAIN, AT_ONCE);
  new->of[VAL] = evaluate(&training->model, &training->part, training->items + N_TRAIN, N_VAL, AT_ONCE);
  norms(all, all->values, new->weight_norms);
  for (long i = 0; i < all->size; i++) all->before[i] = all->values[i] - all->before[i];
  norms(all, all->before, new->update_norms);
  gradient_scales(all, training->config.optimizer.beta2, training->step, new->gradient_scales);
  for (int kind = 0; kind < KINDS && !updated; kind++)
    new->update_norms[kind] = new->gradient_scales[kind] = __builtin_nan("");
  fingerprint(all, training->fingerprint);
  if (!finite(new->of[TRAIN].loss) || !finite(new->of[VAL].loss)) training->diverged = true;
}

// The mean loss of one step's batch; its gradient in the parameters' gradients.
static double loss_and_gradients(Training *training) {
  const Config *config = &training->config;
  GPT *model = &training->model;
  Batch *batch = &training->batch, *part = &training->part;
  int batch_size = (int)config->batch_size;
  clear_batch(batch);
  for (int i = 0; i < batch_size; i++)
    add_item(batch, training->items + training->indices[training->step * batch_size + i]);
  if (model->dropout > 0)
    draw_masks(model, batch, derived_seed((uint32_t)config->seed, "dropout", training->step));

  fill(model->parameters.gradients, 0, model->parameters.size);
  double sum = 0, scale = config->arithmetic.loss_scale;
  for (int begin = 0; begin < batch_size; begin += AT_ONCE) {
    clear_batch(part);
    for (int i = begin; i < batch_size && i < begin + AT_ONCE; i++) add_item(part, batch->items[i]);
    long first = batch->first[begin];
    forward(model, part, true, first);
    sum += language_model_loss(model, part, scale / batch->n);
    backward(model, part, first);
  }
  if (scale != 1)
    for (long i = 0; i < model->parameters.size; i++) model->parameters.gradients[i] /= scale;
  return sum / batch->n;
}

// ------------------------------------------------------------------------------------------ exports

enum { RECORDED = 1, FINISHED = 2, DIVERGED = 4 };

static int status(const Training *training, bool recorded) {
  bool finished = training->diverged || training->step == (int64_t)training->config.steps;
  return (recorded ? RECORDED : 0) | (finished ? FINISHED : 0) | (training->diverged ? DIVERGED : 0);
}

// Whether the kernel trains this config at all.
EXPORT int minitrain_covers(const Config *config) { return is_covered(config); }

// Bytes of memory that a training of this config takes; as a double, since a page counts in doubles.
EXPORT double minitrain_bytes(const Config *config) {
  Arena arena = {0};
  take_training(&arena, config);
  return (double)arena.used;
}

// A run before its first step, and its first record. memory: as many bytes as `minitrain_bytes` says,
// aligned to 64. items: those of the training split, then those of the validation split.
EXPORT Training *minitrain_start(void *memory, const Config *config, const Item *items) {
  Arena arena = {.base = memory};
  Training *training = take_training(&arena, config);
  for (int i = 0; i < N_TRAIN + N_VAL; i++) training->items[i] = items[i];
  training->step = training->tokens = 0;
  training->diverged = false;
  draw_batches(training->indices, config);
  build_model(&training->model, config);
  Parameters *all = &training->model.parameters;
  round_to_grid(all->values, all->size, (int)config->arithmetic.grid_bits);
  fill(all->first_moment, 0, all->size);
  fill(all->second_moment, 0, all->size);
  copy(all->before, all->values, all->size);
  return training;
}

// Goes on from `step`; the host has put parameters and moments back as they were then.
EXPORT void minitrain_resume(Training *training, double step, double tokens) {
  training->step = (int64_t)step;
  training->tokens = (int64_t)tokens;
}

// Measures the run as it stands, before its first step.
EXPORT int minitrain_record(Training *training) {
  record(training, __builtin_nan(""), __builtin_nan(""));
  return status(training, true);
}

// One update: batch, loss, gradients, Adam, grid; then a record when one is due. Returns RECORDED,
// FINISHED and DIVERGED as bits. A loss or gradient that is not finite ends the run before the update.
EXPORT int minitrain_advance(Training *training) {
  const Config *config = &training->config;
  Parameters *all = &training->model.parameters;
  double loss = loss_and_gradients(training);
  double norm = gradient_norm(all);
  if (!finite(loss) || !finite(norm)) {
    training->diverged = true;
    return status(training, false);
  }
  if (config->optimizer.gradient_clip > 0) clip_gradients(all, norm, config->optimizer.gradient_clip);

  training->step++;
  bool due = training->step % (int64_t)config->eval_interval == 0 || training->step == (int64_t)config->steps;
  if (due) copy(all->before, all->values, all->size);

  double rate = learning_rate(training->step - 1, config);
  adam_step(all, config, 0, all->decayed, training->step, rate, config->optimizer.weight_decay);
  adam_step(all, config, all->decayed, all->size, training->step, rate, 0);
  round_to_grid(all->values, all->size, (int)config->arithmetic.grid_bits);

  training->tokens += training->batch.n;
  if (due) record(training, rate, norm);
  return status(training, due);
}

EXPORT double minitrain_step(const Training *training) { return (double)training->step; }
EXPORT double minitrain_tokens(const Training *training) { return (double)training->tokens; }

// The last record, and the fingerprint of the parameters that it measured (32 bytes).
EXPORT const Record *minitrain_last_record(const Training *training) { return &training->record; }
EXPORT const uint8_t *minitrain_fingerprint(const Training *training) { return training->fingerprint; }

// The flat vectors: those that decay, then those that are spared.
EXPORT double minitrain_size(const Training *training) { return (double)training->model.parameters.size; }
EXPORT double *minitrain_values(const Training *training) { return training->model.parameters.values; }
EXPORT double *minitrain_first_moment(const Training *training) { return training->model.parameters.first_moment; }
EXPORT double *minitrain_second_moment(const Training *training) { return training->model.parameters.second_moment; }
