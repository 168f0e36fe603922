// The GPT of `model.py`: its parameters by name, its forward and its backward pass.
#pragma once
#include "layers.h"

// -------------------------------------------------------------------------------------- parameters

enum { LONGEST_NAME = 48 };

// The kinds of parameters that norms are taken of, in the order of `metrics.KINDS`.
enum { TOKEN_EMBEDDING, POSITION_EMBEDDING, NORM, BIAS, ATTENTION, MLP, HEAD, KINDS };

typedef struct {
  char name[LONGEST_NAME];
  long size;
  int kind;
  bool is_matrix, decays;
  long at; // where it begins in each of the flat vectors
} Parameter;

// All parameters as one flat vector: those that decay, then those that are spared; in each of the two
// in the order of `named_parameters`. Gradients, moments and copies have the same order.
typedef struct {
  int count;
  Parameter *of;      // (count), in the order of `named_parameters`
  int *sorted;        // (count): indices into `of`, by name
  long size, decayed; // numbers in all; numbers that decay
  double *values, *gradients, *first_moment, *second_moment, *before;
} Parameters;

static void append_text(char *name, const char *text) {
  while (*name) name++;
  while ((*name++ = *text++)) {}
}

static void append_number(char *name, int number) {
  if (number >= 10) append_number(name, number / 10);
  char digit[2] = {(char)('0' + number % 10), 0};
  append_text(name, digit);
}

static int compare_names(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return (uint8_t)*a - (uint8_t)*b;
}

static bool decays(const Parameter *parameter, const Config *config) {
  if (config->optimizer.decay_mask == ALL) return true;
  bool spared = config->optimizer.decay_mask == NO_EMBEDDING && parameter->kind <= POSITION_EMBEDDING;
  return parameter->is_matrix && !spared;
}

// One more parameter; `block` is the number of its block, or -1. Returns its index.
static int add_parameter(Parameters *all, const Config *config, int block, const char *name, int kind, bool is_matrix,
                         long size) {
  if (all->of) {
    Parameter *new = all->of + all->count;
    new->name[0] = 0;
    if (block >= 0) {
      append_text(new->name, "blocks.");
      append_number(new->name, block);
      append_text(new->name, ".");
    }
    append_text(new->name, name);
    new->size = size;
    new->kind = kind;
    new->is_matrix = is_matrix;
    new->decays = decays(new, config);
  }
  all->size += size;
  return all->count++;
}

// Gives every parameter its place in the flat vectors, and sorts their names.
static void place_parameters(Parameters *all) {
  long at = 0;
  for (int decays = 1; decays >= 0; decays--) {
    for (int i = 0; i < all->count; i++) {
      if (all->of[i].decays != decays) continue;
      all->of[i].at = at;
      at += all->of[i].size;
    }
    if (decays) all->decayed = at;
  }
  for (int i = 0; i < all->count; i++) {
    int j = i;
    for (; j > 0 && compare_names(all->of[all->sorted[j - 1]].name, all->of[i].name) > 0; j--)
      all->sorted[j] = all->sorted[j - 1];
    all->sorted[j] = i;
  }
}

// ------------------------------------------------------------------------------------------- layers

typedef struct {
  LayerNorm ln_1, ln_2;
  Linear qkv, out, up, down;
  Attention attention;
  // What the backward pass needs, of every token in the batch:
  double *x, *normed_1, *qkv_out, *attended;        // (n, C), (n, C), (n, 3C), (n, C)
  double *middle, *normed_2, *hidden, *sigmoid, *activated; // (n, C), (n, C), (n, 4C) three times
} Block;

typedef struct {
  int n_layer, n_head, C;
  double dropout;
  Parameters parameters;
  int token_embedding, position_embedding; // indices of parameters
  Block *blocks;
  LayerNorm ln_f;
  Linear head;
  double *x, *normed, *logits; // (n, C), (n, C), (n, VOCABULARY): after the last block
  // Gradients on their way back.
  double *dx, *dnormed, *dqkv, *dhidden, *dlogits;
  // Masks of dropout: of the embeddings, then two of every block, for the whole batch of a step.
  uint8_t *keep;
  long kept_tokens; // tokens that each mask has room for
} GPT;

static double *values_of(const GPT *model, int parameter) {
  return model->parameters.values + model->parameters.of[parameter].at;
}

static double *gradients_of(const GPT *model, int parameter) {
  return model->parameters.gradients + model->parameters.of[parameter].at;
}

static void bind_linear(Linear *layer, const GPT *model, int weight, int bias) {
  layer->weight = values_of(model, weight);
  layer->weight_grad = gradients_of(model, weight);
  layer->bias = bias < 0 ? NULL : values_of(model, bias);
  layer->bias_grad = bias < 0 ? NULL : gradients_of(model, bias);
}

static void bind_norm(LayerNorm *layer, const GPT *model, int weight) {
  layer->weight = values_of(model, weight);
  layer->weight_grad = gradients_of(model, weight);
  layer->bias = values_of(model, weight + 1);
  layer->bias_grad = gradients_of(model, weight + 1);
}

static void shape_linear(Linear *layer, int in, int out) {
  layer->in = in;
  layer->out = out;
}

static void take_norm(LayerNorm *layer, Arena *arena, int width, long tokens) {
  layer->width = width;
  layer->mean = take_doubles(arena, tokens);
  layer->inverse_std = take_doubles(arena, tokens);
}

// The parameters in the order of `named_parameters`; called twice: to count, and to fill in.
static void name_parameters(GPT *model, const Config *config) {
  Parameters *all = &model->parameters;
  long C = model->C;
  all->count = 0;
  all->size = 0;
#define ADD(block, name, kind, is_matrix, size) add_parameter(all, config, block, name, kind, is_matrix, size)
  model->token_embedding = ADD(-1, "token_embedding.weight", TOKEN_EMBEDDING, true, VOCABULARY * C);
  model->position_embedding = ADD(-1, "position_embedding.weight", POSITION_EMBEDDING, true, CONTEXT * C);
  for (int b = 0; b < model->n_layer; b++) {
    ADD(b, "ln_1.weight", NORM, false, C);
    ADD(b, "ln_1.bias", NORM, false, C);
    ADD(b, "attention.qkv.weight", ATTENTION, true, 3 * C * C);
    if (config->model.qkv_bias) ADD(b, "attention.qkv.bias", BIAS, false, 3 * C);
    ADD(b, "attention.out.weight", ATTENTION, true, C * C);
    ADD(b, "attention.out.bias", BIAS, false, C);
    ADD(b, "ln_2.weight", NORM, false, C);
    ADD(b, "ln_2.bias", NORM, false, C);
    ADD(b, "mlp.up.weight", MLP, true, 4 * C * C);
    ADD(b, "mlp.up.bias", BIAS, false, 4 * C);
    ADD(b, "mlp.down.weight", MLP, true, 4 * C * C);
    ADD(b, "mlp.down.bias", BIAS, false, C);
  }
  ADD(-1, "ln_f.weight", NORM, false, C);
  ADD(-1, "ln_f.bias", NORM, false, C);
  if (!config->model.tied_embedding) ADD(-1, "head.weight", HEAD, true, VOCABULARY * C);
#undef ADD
}

// Points every layer to its parameters, which `name_parameters` put one after the other.
static void bind_layers(GPT *model, const Config *config) {
  int next = model->position_embedding + 1;
  for (int b = 0; b < model->n_layer; b++) {
    Block *block = model->blocks + b;
    bind_norm(&block->ln_1, model, next);
    next += 2;
    bool biased = config->model.qkv_bias != 0;
    bind_linear(&block->qkv, model, next, biased ? next + 1 : -1);
    next += 1 + biased;
    bind_linear(&block->out, model, next, next + 1);
    bind_norm(&block->ln_2, model, next + 2);
    bind_linear(&block->up, model, next + 4, next + 5);
    bind_linear(&block->down, model, next + 6, next + 7);
    next += 8;
  }
  bind_norm(&model->ln_f, model, next);
  bind_linear(&model->head, model, config->model.tied_embedding ? model->token_embedding : next + 2, -1);
}

// Memory for a model that sees at most `items` items at once, `batch_size` in a step.
static void take_model(GPT *model, Arena *arena, const Config *config, int items) {
  int C = model->C = (int)config->model.d_model, H = model->n_head = (int)config->model.n_head;
  model->n_layer = (int)config->model.n_layer;
  model->dropout = config->model.dropout;
  long n = (long)items * CONTEXT;

  Parameters *all = &model->parameters;
  all->of = NULL;
  name_parameters(model, config);
  all->of = take(arena, (size_t)all->count * sizeof(Parameter));
  all->sorted = take(arena, (size_t)all->count * sizeof(int));
  double **vectors[] = {&all->values, &all->gradients, &all->first_moment, &all->second_moment, &all->before};
  for (int i = 0; i < 5; i++) *vectors[i] = take_doubles(arena, all->size);

  model->blocks = take(arena, (size_t)model->n_layer * sizeof(Block));
  double *dscores = take_doubles(arena, CONTEXT * CONTEXT);
  for (int b = 0; b < model->n_layer; b++) {
    Block counted = {0}, *block = arena->base ? model->blocks + b : &counted;
    take_norm(&block->ln_1, arena, C, n);
    take_norm(&block->ln_2, arena, C, n);
    shape_linear(&block->qkv, C, 3 * C);
    shape_linear(&block->out, C, C);
    shape_linear(&block->up, C, 4 * C);
    shape_linear(&block->down, 4 * C, C);
    block->attention = (Attention){H, C, take_doubles(arena, n * H * CONTEXT), dscores,
                                     !has_fault(config, NO_CAUSAL_MASK)};
    double **of_width_C[] = {&block->x, &block->normed_1, &block->attended, &block->middle, &block->normed_2};
    for (int i = 0; i < 5; i++) *of_width_C[i] = take_doubles(arena, n * C);
    block->qkv_out = take_doubles(arena, n * 3 * C);
    double **of_width_4C[] = {&block->hidden, &block->sigmoid, &block->activated};
    for (int i = 0; i < 3; i++) *of_width_4C[i] = take_doubles(arena, n * 4 * C);
  }
  take_norm(&model->ln_f, arena, C, n);
  shape_linear(&model->head, C, VOCABULARY);
  double **of_width_C[] = {&model->x, &model->normed, &model->dx, &model->dnormed};
  for (int i = 0; i < 4; i++) *of_width_C[i] = take_doubles(arena, n * C);
  model->dqkv = take_doubles(arena, n * 3 * C);
  model->dhidden = take_doubles(arena, n * 4 * C);
  model->logits = take_doubles(arena, n * VOCABULARY);
  model->dlogits = take_doubles(arena, n * VOCABULARY);
  model->kept_tokens = model->dropout > 0 ? (long)config->batch_size * CONTEXT : 0;
  model->keep = take(arena, (size_t)((1 + 2L * model->n_layer) * model->kept_tokens * C));
}

// As GPT-2 is initialised: matrices from N(0, 0.02), the two that write to the residual stream divided
// by sqrt(2 n_layer), biases zero, norm scales one.
static void build_model(GPT *model, const Config *config) {
  name_parameters(model, config);
  place_parameters(&model->parameters);
  bind_layers(model, config);
  Generator generator;
  seed_generator(&generator, (uint32_t)config->seed);
  for (int i = 0; i < model->parameters.count; i++) {
    const Parameter *parameter = model->parameters.of + i;
    double *values = values_of(model, i);
    const char *last = parameter->name; // what comes after "blocks.<b>."
    for (const char *c = parameter->name; c[0] && c[1]; c++)
      if (c[0] == '.' && c[1] > '9') {
        last = c + 1;
        break;
      }
    bool residual = !compare_names(last, "attention.out.weight") || !compare_names(last, "mlp.down.weight");
    if (parameter->is_matrix) {
      double std = residual ? 0.02 / square_root(2.0 * model->n_layer) : 0.02;
      if (has_fault(config, WIDE_EMBEDDING) && parameter->kind <= POSITION_EMBEDDING) std = 1;
      normal(&generator, values, parameter->size);
      for (long j = 0; j < parameter->size; j++) values[j] *= std;
    } else {
      bool is_scale = parameter->kind == NORM && parameter->name[0] && compare_names(last, "ln_1.bias") &&
                      compare_names(last, "ln_2.bias") && compare_names(parameter->name, "ln_f.bias");
      fill(values, is_scale ? 1 : 0, parameter->size);
    }
  }
}

// ----------------------------------------------------------------------------------- dropout's masks

// One after the other, as PyTorch draws them: for each place where dropout acts, a number for every
// item, position up to the longest item, and channel. Numbers for padding are drawn and not kept.
static void draw_masks(GPT *model, const Batch *batch, uint32_t seed) {
  Generator generator;
  seed_generator(&generator, seed);
  float rate = (float)model->dropout;
  for (int place = 0; place < 1 + 2 * model->n_layer; place++) {
    uint8_t *keep = model->keep + place * model->kept_tokens * model->C;
    for (int item = 0; item < batch->count; item++) {
      int T = batch->first[item + 1] - batch->first[item];
      for (long i = 0; i < (long)batch->longest * model->C; i++) {
        bool stays = uniform_float(&generator) >= rate;
        if (i < (long)T * model->C) *keep++ = stays;
      }
    }
  }
}

// `first`: the number, within its step, of the first token of x.
static void drop(const GPT *model, double *x, int place, long first, int n) {
  const uint8_t *keep = model->keep + (place * model->kept_tokens + first) * model->C;
  dropout(x, keep, model->dropout, (long)n * model->C);
}

// -------------------------------------------------------------------------------- forward, backward

static void add(double *sum, const double *a, const double *b, long count) {
  for (long i = 0; i < count; i++) sum[i] = a[i] + b[i];
}

static void block_forward(double *y, const GPT *model, int b, const Batch *batch, bool training, long first) {
  const Block *block = model->blocks + b;
  int n = batch->n, C = model->C;
  layer_norm_forward(block->normed_1, &block->ln_1, block->x, n);
  linear_forward(block->qkv_out, &block->qkv, block->normed_1, n);
  attention_forward(block->attended, &block->attention, block->qkv_out, batch);
  linear_forward(block->middle, &block->out, block->attended, n);
  if (training) drop(model, block->middle, 1 + 2 * b, first, n);
  add(block->middle, block->middle, block->x, (long)n * C);

  layer_norm_forward(block->normed_2, &block->ln_2, block->middle, n);
  linear_forward(block->hidden, &block->up, block->normed_2, n);
  silu_forward(block->activated, block->sigmoid, block->hidden, (long)n * 4 * C);
  linear_forward(y, &block->down, block->activated, n);
  if (training) drop(model, y, 2 + 2 * b, first, n);
  add(y, y, block->middle, (long)n * C);
}

// model->dx: the gradient by what the block hands on, then by what it was given.
static void block_backward(const GPT *model, int b, const Batch *batch, bool training, long first) {
  const Block *block = model->blocks + b;
  int n = batch->n, C = model->C;
  double *dx = model->dx, *dnormed = model->dnormed, *dbranch = model->x; // x is no longer needed
  copy(dbranch, dx, (long)n * C);
  if (training) drop(model, dbranch, 2 + 2 * b, first, n);
  linear_backward(model->dhidden, &block->down, dbranch, block->activated, n);
  silu_backward(model->dhidden, model->dhidden, block->sigmoid, block->hidden, (long)n * 4 * C);
  linear_backward(dnormed, &block->up, model->dhidden, block->normed_2, n);
  layer_norm_backward(dx, &block->ln_2, dnormed, block->middle, n);

  copy(dbranch, dx, (long)n * C);
  if (training) drop(model, dbranch, 1 + 2 * b, first, n);
  linear_backward(dnormed, &block->out, dbranch, block->attended, n);
  attention_backward(model->dqkv, &block->attention, dnormed, block->qkv_out, batch);
  linear_backward(dnormed, &block->qkv, model->dqkv, block->normed_1, n);
  layer_norm_backward(dx, &block->ln_1, dnormed, block->x, n);
}

// Token ids to logits (n, VOCABULARY). training: dropout acts, with the masks of this step from token
// `first` on.
static void forward(const GPT *model, const Batch *batch, bool training, long first) {
  training = training && model->dropout > 0;
  double *x = model->n_layer ? model->blocks[0].x : model->x;
  embedding_forward(x, values_of(model, model->token_embedding), values_of(model, model->position_embedding), batch,
                    model->C);
  if (training) drop(model, x, 0, first, batch->n);
  for (int b = 0; b < model->n_layer; b++)
    block_forward(b + 1 < model->n_layer ? model->blocks[b + 1].x : model->x, model, b, batch, training, first);
  layer_norm_forward(model->normed, &model->ln_f, model->x, batch->n);
  linear_forward(model->logits, &model->head, model->normed, batch->n);
}

// From model->dlogits to gradients of all parameters, which are added to what is there.
static void backward(const GPT *model, const Batch *batch, long first) {
  bool training = model->dropout > 0;
  int n = batch->n, C = model->C;
  linear_backward(model->dnormed, &model->head, model->dlogits, model->normed, n);
  fill(model->dx, 0, (long)n * C);
  layer_norm_backward(model->dx, &model->ln_f, model->dnormed, model->x, n);
  for (int b = model->n_layer - 1; b >= 0; b--) block_backward(model, b, batch, training, first);
  if (training) drop(model, model->dx, 0, first, n);
  embedding_backward(gradients_of(model, model->token_embedding), gradients_of(model, model->position_embedding),
                     model->dx, batch, C);
}

// The sum of the tokens' losses, in nats; with `weight`, also the gradient of weight times that sum by
// the logits.
static double language_model_loss(const GPT *model, const Batch *batch, double weight) {
  double sum = 0;
  for (int i = 0; i < batch->n; i++) {
    double *probabilities = model->dlogits + (long)i * VOCABULARY;
    sum += cross_entropy(probabilities, model->logits + (long)i * VOCABULARY, batch->targets[i]);
    cross_entropy_backward(probabilities, batch->targets[i], weight);
  }
  return sum;
}
