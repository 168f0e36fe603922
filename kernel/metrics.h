// What a run is judged by (`metrics.py`): losses by part, accuracy by slice, norms by kind.
#pragma once
#include "optim.h"

enum { PROMPT, FORM, PARTS };
enum { TRAIN, VAL, SPLITS };

typedef struct {
  double loss, parts[PARTS], accuracy[SLICES]; // accuracy: NaN where a slice has no item
} Evaluation;

static double share(double part, double whole) { return part / whole; }

// Losses and accuracy on the `count` items of a split. `batch` has room for `at_once` of them.
static Evaluation evaluate(const GPT *model, Batch *batch, const Item *items, int count, int at_once) {
  double losses[PARTS] = {0}, characters[PARTS] = {0}, right[SLICES] = {0}, of_slice[SLICES] = {0};
  for (int begin = 0; begin < count; begin += at_once) {
    clear_batch(batch);
    for (int i = begin; i < count && i < begin + at_once; i++) add_item(batch, items + i);
    forward(model, batch, false, 0);
    for (int row = 0; row < batch->count; row++) {
      const Item *item = batch->items[row];
      bool hit = true;
      for (int i = batch->first[row]; i < batch->first[row + 1]; i++) {
        const double *logits = model->logits + (long)i * VOCABULARY;
        int part = batch->positions[i] < item->form_start ? PROMPT : FORM;
        losses[part] += cross_entropy(model->dlogits, logits, batch->targets[i]);
        characters[part]++;
        if (part == FORM && most_probable(logits) != batch->targets[i]) hit = false;
      }
      for (int slice = 0; slice < SLICES; slice++)
        if (item->slices >> slice & 1) of_slice[slice]++, right[slice] += hit;
    }
  }
  Evaluation found;
  found.loss = share(losses[PROMPT] + losses[FORM], characters[PROMPT] + characters[FORM]);
  for (int part = 0; part < PARTS; part++) found.parts[part] = share(losses[part], characters[part]);
  for (int slice = 0; slice < SLICES; slice++) found.accuracy[slice] = share(right[slice], of_slice[slice]);
  return found;
}

// Of each kind of parameter: the sum of squares of a flat vector, and how many numbers it has.
static void squares_by_kind(const Parameters *all, const double *vector, double squares[KINDS], double sizes[KINDS]) {
  fill(squares, 0, KINDS);
  fill(sizes, 0, KINDS);
  for (int i = 0; i < all->count; i++) {
    const Parameter *parameter = all->of + i;
    squares[parameter->kind] += sum_of_squares(vector + parameter->at, parameter->size);
    sizes[parameter->kind] += (double)parameter->size;
  }
}

static void norms(const Parameters *all, const double *vector, double of_kind[KINDS]) {
  double sizes[KINDS];
  squares_by_kind(all, vector, of_kind, sizes);
  for (int kind = 0; kind < KINDS; kind++) of_kind[kind] = square_root(of_kind[kind]);
}

// The root of the mean second moment, as Adam divides by it after `steps` updates.
static void gradient_scales(const Parameters *all, double beta2, int64_t steps, double of_kind[KINDS]) {
  double correction = 1 - power(beta2, steps), sizes[KINDS];
  fill(of_kind, 0, KINDS);
  fill(sizes, 0, KINDS);
  for (int i = 0; i < all->count; i++) {
    const Parameter *parameter = all->of + i;
    double sum = 0;
    for (long j = 0; j < parameter->size; j++) sum += all->second_moment[parameter->at + j];
    of_kind[parameter->kind] += sum;
    sizes[parameter->kind] += (double)parameter->size;
  }
  for (int kind = 0; kind < KINDS; kind++)
    of_kind[kind] = square_root(of_kind[kind] / sizes[kind] / correction);
}
