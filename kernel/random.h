// Random numbers: the very stream of PyTorch's CPU generator, number by number.
//
// The engine is the Mersenne Twister (Matsumoto & Nishimura, 1998). What is made of its numbers
// follows PyTorch's aten/src/ATen/core/DistributionsHelper.h and native/cpu/DistributionTemplates.h.
#pragma once
#include "sha256.h"

#define TWISTER 624

typedef struct {
  uint32_t state[TWISTER];
  int next;
  bool has_spare; // the second number of a pair that `few_normal` drew
  double spare;
} Generator;

static void seed_generator(Generator *g, uint32_t seed) {
  g->state[0] = seed;
  for (uint32_t i = 1; i < TWISTER; i++)
    g->state[i] = 1812433253u * (g->state[i - 1] ^ (g->state[i - 1] >> 30)) + i;
  g->next = TWISTER;
  g->has_spare = false;
}

static uint32_t random_32(Generator *g) {
  if (g->next == TWISTER) {
    for (int i = 0; i < TWISTER; i++) {
      uint32_t y = (g->state[i] & 0x80000000u) | (g->state[(i + 1) % TWISTER] & 0x7fffffffu);
      g->state[i] = g->state[(i + 397) % TWISTER] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    g->next = 0;
  }
  uint32_t y = g->state[g->next++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

static double uniform(Generator *g) {
  uint64_t high = random_32(g);
  uint64_t bits = high << 32 | random_32(g);
  return (double)(bits & ((1ULL << 53) - 1)) * 0x1p-53;
}

static float uniform_float(Generator *g) { return (float)(random_32(g) & 0xffffff) * 0x1p-24f; }

static void box_muller(double u1, double u2, double *a, double *b) {
  double radius = square_root(-2 * logarithm(u1)), sine, cosine;
  sine_cosine(2 * PI * u2, &sine, &cosine);
  *a = radius * cosine;
  *b = radius * sine;
}

// Sixteen normal numbers out of sixteen uniform ones, in place: the first eight with the last eight.
static void sixteen_normal(double *x) {
  for (int i = 0; i < 8; i++) box_muller(1 - x[i], x[i + 8], x + i, x + i + 8);
}

static void few_normal(Generator *g, double *x, long count) {
  for (long i = 0; i < count; i++) {
    g->has_spare = !g->has_spare;
    if (g->has_spare) {
      double u1 = uniform(g), u2 = uniform(g);
      box_muller(1 - u2, u1, x + i, &g->spare);
    } else {
      x[i] = g->spare;
    }
  }
}

// `torch.randn` in float64: sixteen at a time; what is left over is drawn again with what is before it.
static void normal(Generator *g, double *x, long count) {
  if (count < 16) {
    few_normal(g, x, count);
    return;
  }
  for (long i = 0; i < count; i++) x[i] = uniform(g);
  for (long i = 0; i + 16 <= count; i += 16) sixteen_normal(x + i);
  if (count % 16) {
    for (long i = count - 16; i < count; i++) x[i] = uniform(g);
    sixteen_normal(x + count - 16);
  }
}

// A seed for one purpose ("batches", or "dropout" and a step): 32 bits of a hash, as
// `loop._derived_seed` has it.
static uint32_t derived_seed(uint32_t seed, const char *purpose, int64_t step) {
  Sha256 hash;
  uint8_t digest[32];
  sha256_begin(&hash);
  sha256_text(&hash, purpose);
  if (step >= 0) {
    sha256_text(&hash, " ");
    sha256_number(&hash, (uint64_t)step);
  }
  sha256_text(&hash, " ");
  sha256_number(&hash, seed);
  sha256_end(&hash, digest);
  return (uint32_t)digest[3] << 24 | (uint32_t)digest[2] << 16 | (uint32_t)digest[1] << 8 | digest[0];
}
