// The corpus as token ids, which the host brings along, and the batches of a run.
#pragma once
#include "arena.h"
#include "config.h"
#include "random.h"

enum { VOCABULARY = 24, CONTEXT = 32, N_TRAIN = 240, N_VAL = 180, SLICES = 14 };

// One verb form. Its targets are its tokens from the second on; the form begins at target
// `form_start`. `slices` has a bit for each slice that the item counts in.
typedef struct {
  int32_t length, form_start, slices;
  int32_t tokens[CONTEXT];
} Item;

// Tokens of several items, one after the other: no padding.
typedef struct {
  int count;                           // items
  int longest;                         // targets of the longest item
  int n;                               // tokens
  const Item **items;                  // (count)
  int *first;                          // (count + 1): where each item begins
  int *inputs, *targets, *positions;   // (n)
} Batch;

static void take_batch(Batch *batch, Arena *arena, int most) {
  batch->items = take(arena, (size_t)most * sizeof(Item *));
  batch->first = take(arena, (size_t)(most + 1) * sizeof(int));
  batch->inputs = take(arena, (size_t)most * CONTEXT * sizeof(int));
  batch->targets = take(arena, (size_t)most * CONTEXT * sizeof(int));
  batch->positions = take(arena, (size_t)most * CONTEXT * sizeof(int));
}

static void clear_batch(Batch *batch) { batch->count = batch->longest = batch->n = 0; }

static void add_item(Batch *batch, const Item *item) {
  int n = batch->n;
  batch->items[batch->count] = item;
  batch->first[batch->count++] = n;
  for (int t = 0; t + 1 < item->length; t++, n++) {
    batch->inputs[n] = item->tokens[t];
    batch->targets[n] = item->tokens[t + 1];
    batch->positions[n] = t;
  }
  if (item->length - 1 > batch->longest) batch->longest = item->length - 1;
  batch->first[batch->count] = batch->n = n;
}

// Which training items each step sees, drawn at once: (steps, batch_size).
static void draw_batches(uint8_t *indices, const Config *config) {
  Generator generator;
  seed_generator(&generator, derived_seed((uint32_t)config->seed, "batches", -1));
  long count = (long)(config->steps * config->batch_size);
  for (long i = 0; i < count; i++) indices[i] = (uint8_t)(random_32(&generator) % N_TRAIN);
}
