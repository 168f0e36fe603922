// Types, and the few functions of one number that a training needs, without any library.
//
// They are written without branches, so that the compiler turns a loop over them into vector
// instructions. Their last bit may differ from that of another library's: the grid erases it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PI 3.141592653589793

typedef union {
  double value;
  uint64_t bits;
} Bits;

// Within a function that begins with it, sums may be taken in any order, hence in vectors. Which
// order is fixed when the kernel is compiled: the same program always gives the same sum.
#define SUMS_IN_ANY_ORDER _Pragma("clang fp reassociate(on)")

static inline double square_root(double x) { return __builtin_sqrt(x); }

static inline bool finite(double x) { return x - x == 0; }

static inline double smaller(double a, double b) { return a < b ? a : b; }

static inline long larger(long a, long b) { return a > b ? a : b; }

// e**x. With k the whole number nearest to x / ln 2 and r = x - k ln 2, e**x = 2**k e**r, where
// |r| < 0.35, so that fourteen terms of the series are enough. NaN stays NaN; beyond about +-708
// the result stops growing or shrinking, where it is as good as infinite or zero.
static inline double exponential(double x) {
  const double to_whole = 0x1.8p52; // added to a number, it leaves no room for a fraction
  x = x < -708 ? -708 : x;
  x = x > 709 ? 709 : x;
  Bits k = {.value = x * 1.4426950408889634 + to_whole};
  double whole = k.value - to_whole;
  // ln 2 in two parts: whole times the first is exact.
  double r = (x - whole * 6.93147180369123816490e-01) - whole * 1.90821492927058770002e-10;
  double series = 1.0 / 6227020800;
  series = series * r + 1.0 / 479001600;
  series = series * r + 1.0 / 39916800;
  series = series * r + 1.0 / 3628800;
  series = series * r + 1.0 / 362880;
  series = series * r + 1.0 / 40320;
  series = series * r + 1.0 / 5040;
  series = series * r + 1.0 / 720;
  series = series * r + 1.0 / 120;
  series = series * r + 1.0 / 24;
  series = series * r + 1.0 / 6;
  series = series * r + 1.0 / 2;
  series = series * r + 1;
  series = series * r + 1;
  Bits power = {.bits = (k.bits << 52) + ((uint64_t)1023 << 52)}; // 2**k, written as its bits
  return series * power.value;
}

// The natural logarithm of a positive, normal number, of infinity or of NaN. With x = 2**k m and m near 1,
// log x = k ln 2 + 2 atanh(s), s = (m - 1) / (m + 1); the coefficients are those of fdlibm's e_log.c.
static inline double logarithm(double x) {
  if (!finite(x)) return x;
  Bits m = {.value = x};
  int64_t k = (int64_t)(m.bits >> 52) - 1023;
  m.bits = (m.bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
  if (m.value > 1.4142135623730951) {
    m.value *= 0.5;
    k++;
  }
  double f = m.value - 1, s = f / (2 + f), z = s * s, w = z * z, half = 0.5 * f * f;
  double even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  double odd = z * (6.666666666666735130e-01 +
                    w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  double low = s * (half + even + odd) + (double)k * 1.90821492927058770002e-10;
  return (double)k * 6.93147180369123816490e-01 - ((half - low) - f);
}

// Sine and cosine of an angle from 0 to 2 pi, from the quarter turn that it lies nearest to; the
// coefficients are those of fdlibm's k_sin.c and k_cos.c.
static inline void sine_cosine(double angle, double *sine, double *cosine) {
  double quarter = __builtin_floor(angle / (PI / 2) + 0.5);
  double r = (angle - quarter * 1.57079632673412561417e+00) - quarter * 6.07710050650619224932e-11;
  double z = r * r;
  double s = r + r * z *
                     (-1.66666666666666324348e-01 +
                      z * (8.33333333332248946124e-03 +
                           z * (-1.98412698298579493134e-04 +
                                z * (2.75573137070700676789e-06 +
                                     z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
  double c = 1 - 0.5 * z +
             z * z *
                 (4.16666666666666019037e-02 +
                  z * (-1.38888888888741095749e-03 +
                       z * (2.48015872894767294178e-05 +
                            z * (-2.75573143513906633035e-07 +
                                 z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
  switch ((int)quarter & 3) {
  case 0: *sine = s, *cosine = c; break;
  case 1: *sine = c, *cosine = -s; break;
  case 2: *sine = -s, *cosine = -c; break;
  default: *sine = -c, *cosine = s;
  }
}

// base**exponent for a whole exponent, by repeated squaring.
static inline double power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if (exponent & 1) result *= base;
  return result;
}

static inline void fill(double *values, double value, long count) {
  for (long i = 0; i < count; i++) values[i] = value;
}

static inline void copy(double *to, const double *from, long count) {
  for (long i = 0; i < count; i++) to[i] = from[i];
}

static inline double sum_of_squares(const double *values, long count) {
  SUMS_IN_ANY_ORDER
  double sum = 0;
  for (long i = 0; i < count; i++) sum += values[i] * values[i];
  return sum;
}
