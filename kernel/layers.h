// The layers of the GPT, each with its backward pass below it.
//
// Shapes: n tokens, C = d_model, H heads of D = C / H, T tokens of one item. A backward pass is given
// the gradient of the loss by the layer's output (dy) and hands back that by its input (dx); gradients
// by parameters are added to what is there, since the output layer shares its matrix with the
// embedding.
#pragma once
#include "corpus.h"
#include "matmul.h"

// ---------------------------------------------------------------------- y = x Wt + b, W (out, in)

typedef struct {
  int in, out;
  double *weight, *bias;             // bias may be NULL
  double *weight_grad, *bias_grad;
} Linear;

static void linear_forward(double *y, const Linear *layer, const double *x, int n) {
  if (layer->bias)
    for (int i = 0; i < n; i++) copy(y + (long)i * layer->out, layer->bias, layer->out);
  Matrix w = {layer->weight, layer->in, 1};
  matmul((Out){y, layer->out}, (Matrix){x, layer->in, 1}, transposed(w), n, layer->in, layer->out, layer->bias != NULL);
}

// dx = dy W; dW += dyt x; db += the sum of dy over the tokens.
static void linear_backward(double *dx, const Linear *layer, const double *dy, const double *x, int n) {
  int in = layer->in, out = layer->out;
  Matrix w = {layer->weight, in, 1}, grad = {dy, out, 1};
  matmul((Out){dx, in}, grad, w, n, out, in, false);
  matmul((Out){layer->weight_grad, in}, transposed(grad), (Matrix){x, in, 1}, out, n, in, true);
  if (layer->bias)
    for (int i = 0; i < n; i++)
      for (int c = 0; c < out; c++) layer->bias_grad[c] += dy[(long)i * out + c];
}

// ------------------------------------------------------------------- y = (x - mean) / std * w + b

typedef struct {
  int width;
  double *weight, *bias, *weight_grad, *bias_grad;
  double *mean, *inverse_std; // (n), kept for the backward pass
} LayerNorm;

static void layer_norm_forward(double *y, const LayerNorm *layer, const double *x, int n) {
  SUMS_IN_ANY_ORDER
  int C = layer->width;
  for (int i = 0; i < n; i++, x += C, y += C) {
    double mean = 0, variance = 0;
    for (int c = 0; c < C; c++) mean += x[c];
    mean /= C;
    for (int c = 0; c < C; c++) variance += (x[c] - mean) * (x[c] - mean);
    double inverse_std = 1 / square_root(variance / C + 1e-5);
    for (int c = 0; c < C; c++) y[c] = (x[c] - mean) * inverse_std * layer->weight[c] + layer->bias[c];
    layer->mean[i] = mean;
    layer->inverse_std[i] = inverse_std;
  }
}

// Adds to dx, since x also goes past the layer, along the residual stream.
static void layer_norm_backward(double *dx, const LayerNorm *layer, const double *dy, const double *x, int n) {
  SUMS_IN_ANY_ORDER
  int C = layer->width;
  for (int i = 0; i < n; i++, x += C, dx += C, dy += C) {
    double mean = layer->mean[i], inverse_std = layer->inverse_std[i];
    double sum = 0, product = 0; // of the gradient by the normalised x, and of that times it
    for (int c = 0; c < C; c++) {
      double normalised = (x[c] - mean) * inverse_std, g = dy[c] * layer->weight[c];
      sum += g;
      product += g * normalised;
      layer->weight_grad[c] += dy[c] * normalised;
      layer->bias_grad[c] += dy[c];
    }
    sum /= C;
    product /= C;
    for (int c = 0; c < C; c++) {
      double normalised = (x[c] - mean) * inverse_std;
      dx[c] += inverse_std * (dy[c] * layer->weight[c] - sum - normalised * product);
    }
  }
}

// ------------------------------------------------------------------------------ y = x sigmoid(x)

static void silu_forward(double *y, double *sigmoid, const double *x, long count) {
  for (long i = 0; i < count; i++) {
    sigmoid[i] = 1 / (1 + exponential(-x[i]));
    y[i] = x[i] * sigmoid[i];
  }
}

static void silu_backward(double *dx, const double *dy, const double *sigmoid, const double *x, long count) {
  for (long i = 0; i < count; i++) dx[i] = dy[i] * sigmoid[i] * (1 + x[i] * (1 - sigmoid[i]));
}

// ------------------------------------------------------------ causal attention within every item

typedef struct {
  int n_head, width;
  double *probabilities;   // (n, H, CONTEXT): how much token t looks at each token s <= t
  double *dscores;         // (CONTEXT, CONTEXT), of one head of one item
  bool causal;             // always, unless a fault is planted
} Attention;

// In place: the scores of the first `seen` tokens become probabilities, the others zero.
static void masked_softmax(double *row, int seen, int T, double scale) {
  SUMS_IN_ANY_ORDER
  double largest = row[0], sum = 0;
  for (int s = 1; s < seen; s++) largest = row[s] > largest ? row[s] : largest;
  for (int s = 0; s < seen; s++) row[s] = exponential((row[s] - largest) * scale);
  for (int s = 0; s < seen; s++) sum += row[s];
  for (int s = 0; s < seen; s++) row[s] /= sum;
  fill(row + seen, 0, T - seen);
}

// qkv (n, 3C): queries, keys and values. y (n, C): for each head, the values that its tokens look at.
static void attention_forward(double *y, const Attention *layer, const double *qkv, const Batch *batch) {
  int C = layer->width, D = C / layer->n_head;
  long row = 3L * C, per_token = (long)layer->n_head * CONTEXT;
  for (int item = 0; item < batch->count; item++) {
    long first = batch->first[item];
    int T = (int)(batch->first[item + 1] - first);
    for (int h = 0; h < layer->n_head; h++) {
      const double *of_head = qkv + first * row + h * D;
      Matrix q = {of_head, row, 1}, k = {of_head + C, row, 1}, v = {of_head + 2 * C, row, 1};
      double *p = layer->probabilities + first * per_token + h * CONTEXT;
      matmul((Out){p, per_token}, q, transposed(k), T, D, T, false);
      for (int t = 0; t < T; t++)
        masked_softmax(p + t * per_token, layer->causal ? t + 1 : T, T, 1 / square_root(D));
      matmul((Out){y + first * C + h * D, C}, (Matrix){p, per_token, 1}, v, T, T, D, false);
    }
  }
}

// In place: the gradient by the probabilities p of one token becomes that by its scores.
static void softmax_backward(double *dp, const double *p, int T, double scale) {
  SUMS_IN_ANY_ORDER
  double sum = 0;
  for (int s = 0; s < T; s++) sum += p[s] * dp[s];
  for (int s = 0; s < T; s++) dp[s] = p[s] * (dp[s] - sum) * scale;
}

// With S = q kt / sqrt(D) and P = softmax(S): dP = dy vt, dS = P * (dP - the row's sum of P * dP),
// and then dq = dS k / sqrt(D), dk = dSt q / sqrt(D), dv = Pt dy.
static void attention_backward(double *dqkv, const Attention *layer, const double *dy, const double *qkv,
                               const Batch *batch) {
  int C = layer->width, D = C / layer->n_head;
  long row = 3L * C, per_token = (long)layer->n_head * CONTEXT;
  double scale = 1 / square_root(D);
  for (int item = 0; item < batch->count; item++) {
    long first = batch->first[item];
    int T = (int)(batch->first[item + 1] - first);
    for (int h = 0; h < layer->n_head; h++) {
      long at = first * row + h * D;
      Matrix q = {qkv + at, row, 1}, k = {qkv + at + C, row, 1}, v = {qkv + at + 2 * C, row, 1};
      Matrix p = {layer->probabilities + first * per_token + h * CONTEXT, per_token, 1};
      Matrix dy_head = {dy + first * C + h * D, C, 1}, ds = {layer->dscores, CONTEXT, 1};
      matmul((Out){layer->dscores, CONTEXT}, dy_head, transposed(v), T, D, T, false);
      for (int t = 0; t < T; t++) softmax_backward(layer->dscores + t * CONTEXT, p.at + t * per_token, T, scale);
      matmul((Out){dqkv + at, row}, ds, k, T, T, D, false);
      matmul((Out){dqkv + at + C, row}, transposed(ds), q, T, T, D, false);
      matmul((Out){dqkv + at + 2 * C, row}, transposed(p), dy_head, T, T, D, false);
    }
  }
}

// ----------------------------------------------------------------- the sum of the two embeddings

static void embedding_forward(double *x, const double *token, const double *position, const Batch *batch, int C) {
  for (int i = 0; i < batch->n; i++)
    for (int c = 0; c < C; c++)
      x[(long)i * C + c] = token[batch->inputs[i] * C + c] + position[batch->positions[i] * C + c];
}

static void embedding_backward(double *dtoken, double *dposition, const double *dx, const Batch *batch, int C) {
  for (int i = 0; i < batch->n; i++)
    for (int c = 0; c < C; c++) {
      dtoken[batch->inputs[i] * C + c] += dx[(long)i * C + c];
      dposition[batch->positions[i] * C + c] += dx[(long)i * C + c];
    }
}

// --------------------------------------------------------------------------------------- dropout

// `keep` (n, C): whether each value stays. Those that stay grow by 1 / (1 - rate), a number that
// PyTorch's mask has in float32. Its own backward pass.
static void dropout(double *x, const uint8_t *keep, double rate, long count) {
  double scale = 1.0f / (float)(1 - rate);
  for (long i = 0; i < count; i++) x[i] = keep[i] ? x[i] * scale : 0;
}

// ------------------------------------------------------------------------------- cross-entropy

// The index of the largest of the logits of one token.
static int most_probable(const double *logits) {
  int best = 0;
  for (int v = 1; v < VOCABULARY; v++)
    if (logits[v] > logits[best]) best = v;
  return best;
}

// The loss of one token in nats. In `probabilities` (VOCABULARY), the softmax of the logits.
static double cross_entropy(double *probabilities, const double *logits, int target) {
  double largest = logits[most_probable(logits)], sum = 0;
  for (int v = 0; v < VOCABULARY; v++) probabilities[v] = exponential(logits[v] - largest);
  for (int v = 0; v < VOCABULARY; v++) sum += probabilities[v];
  for (int v = 0; v < VOCABULARY; v++) probabilities[v] /= sum;
  return logarithm(sum) + largest - logits[target];
}

// The gradient of weight * loss by the logits: weight * (softmax - one at the target). In place.
static void cross_entropy_backward(double *probabilities, int target, double weight) {
  probabilities[target] -= 1;
  for (int v = 0; v < VOCABULARY; v++) probabilities[v] *= weight;
}
