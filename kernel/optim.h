// Adam with weight decay, decoupled or as an L2 penalty; clipping; the grid; the fingerprint.
#pragma once
#include "model.h"

// One update of the parameters from `begin` to `end`, after `steps` updates with this one
// (`optim.Adam.step`).
static void adam_step(const Parameters *all, const Config *config, long begin, long end, int64_t steps,
                      double learning_rate, double weight_decay) {
  double beta1 = config->optimizer.beta1, beta2 = config->optimizer.beta2, eps = config->optimizer.eps;
  double correction1 = 1 - power(beta1, steps), correction2 = 1 - power(beta2, steps);
  bool l2 = config->optimizer.name == ADAM;
  double shrink = l2 ? 1 : 1 - learning_rate * weight_decay, penalty = l2 ? weight_decay : 0;
  double of_root = 1 / square_root(correction2), rate = learning_rate / correction1;
  double *theta = all->values, *m = all->first_moment, *v = all->second_moment;
  for (long i = begin; i < end; i++) {
    double g = all->gradients[i] + penalty * theta[i];
    m[i] += (1 - beta1) * (g - m[i]);
    v[i] = beta2 * v[i] + (1 - beta2) * g * g;
    theta[i] = shrink * theta[i] - rate * m[i] / (square_root(v[i]) * of_root + eps);
  }
}

static double gradient_norm(const Parameters *all) { return square_root(sum_of_squares(all->gradients, all->size)); }

// The small constant is the one of `torch.nn.utils.clip_grad_norm_`.
static void clip_gradients(const Parameters *all, double norm, double largest) {
  double factor = smaller(1, largest / (norm + 1e-6));
  for (long i = 0; i < all->size; i++) all->gradients[i] *= factor;
}

// To the nearest multiple of 2**-bits, ties to even. Scaling by a power of two is exact.
static void round_to_grid(double *values, long count, int bits) {
  double up = (double)((uint64_t)1 << bits), down = 1 / up;
  for (long i = 0; i < count; i++) values[i] = __builtin_rint(values[i] * up) * down;
}

// SHA-256 of the parameters in sorted name order: the name, a zero byte, then the values as
// little-endian float64. Adding zero turns -0.0 into +0.0: equal values, different bytes.
static void fingerprint(const Parameters *all, uint8_t digest[32]) {
  Sha256 hash;
  sha256_begin(&hash);
  for (int i = 0; i < all->count; i++) {
    const Parameter *parameter = all->of + all->sorted[i];
    sha256_text(&hash, parameter->name);
    sha256_byte(&hash, 0);
    for (long j = 0; j < parameter->size; j++) {
      Bits number = {.value = all->values[parameter->at + j] + 0.0};
      for (int byte = 0; byte < 8; byte++) sha256_byte(&hash, (uint8_t)(number.bits >> 8 * byte));
    }
  }
  sha256_end(&hash, digest);
}
