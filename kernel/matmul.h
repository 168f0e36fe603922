// One matrix product, which is where nearly all of the time goes.
//
// C (m, n) = A (m, k) B (k, n), or C += A B. A may be read along its columns as well as along its
// rows, so that a transposed A costs nothing; rows of B and C lie side by side in memory. A tile of C
// is kept in registers while k goes by: each number that is loaded is used several times.
#pragma once
#include "numbers.h"

#if defined(__AVX512F__)
enum { LANES = 8, TILE_ROWS = 8, TILE_VECTORS = 3 }; // 24 sums in 32 registers
#elif defined(__AVX__)
enum { LANES = 4, TILE_ROWS = 6, TILE_VECTORS = 2 }; // 12 sums in 16 registers
#else
enum { LANES = 2, TILE_ROWS = 4, TILE_VECTORS = 2 };
#endif

typedef double Vector __attribute__((vector_size(8 * LANES), aligned(8)));

typedef struct {
  const double *at;
  long row, step; // how far it is in memory to the next row, and to the next of the k steps
} Left;

typedef struct {
  const double *at;
  long step;
} Right;

typedef struct {
  double *at;
  long row;
} Out;

#define UNROLLED _Pragma("clang loop unroll(full)")

static inline __attribute__((always_inline)) void tile(int rows, int vectors, Out c, Left a, Right b, int k, bool add) {
  Vector sums[TILE_ROWS][TILE_VECTORS];
  UNROLLED for (int r = 0; r < rows; r++)
    UNROLLED for (int v = 0; v < vectors; v++)
      sums[r][v] = add ? *(const Vector *)(c.at + r * c.row + v * LANES) : (Vector){0};
  for (int s = 0; s < k; s++, a.at += a.step, b.at += b.step) {
    Vector right[TILE_VECTORS];
    UNROLLED for (int v = 0; v < vectors; v++) right[v] = *(const Vector *)(b.at + v * LANES);
    UNROLLED for (int r = 0; r < rows; r++)
      UNROLLED for (int v = 0; v < vectors; v++) sums[r][v] += a.at[r * a.row] * right[v];
  }
  UNROLLED for (int r = 0; r < rows; r++)
    UNROLLED for (int v = 0; v < vectors; v++) *(Vector *)(c.at + r * c.row + v * LANES) = sums[r][v];
}

// The columns that fill no vector.
static void narrow(int rows, Out c, Left a, Right b, int k, bool add) {
  for (int r = 0; r < rows; r++) {
    double sum = add ? c.at[r * c.row] : 0;
    for (int s = 0; s < k; s++) sum += a.at[r * a.row + s * a.step] * b.at[s * b.step];
    c.at[r * c.row] = sum;
  }
}

// `rows` rows, all columns. It is compiled once for each number of rows.
static inline __attribute__((always_inline)) void band(int rows, Out c, Left a, Right b, int k, int n, bool add) {
  int column = 0;
  for (; column + TILE_VECTORS * LANES <= n; column += TILE_VECTORS * LANES)
    tile(rows, TILE_VECTORS, (Out){c.at + column, c.row}, a, (Right){b.at + column, b.step}, k, add);
  for (; column + LANES <= n; column += LANES)
    tile(rows, 1, (Out){c.at + column, c.row}, a, (Right){b.at + column, b.step}, k, add);
  for (; column < n; column++)
    narrow(rows, (Out){c.at + column, c.row}, a, (Right){b.at + column, b.step}, k, add);
}

static inline void skip(int rows, Out *c, Left *a) {
  c->at += rows * c->row;
  a->at += rows * a->row;
}

static void matmul(Out c, Left a, Right b, int m, int k, int n, bool add) {
  for (; m >= TILE_ROWS; m -= TILE_ROWS, skip(TILE_ROWS, &c, &a)) band(TILE_ROWS, c, a, b, k, n, add);
  if (m & 4) band(4, c, a, b, k, n, add), skip(4, &c, &a);
  if (m & 2) band(2, c, a, b, k, n, add), skip(2, &c, &a);
  if (m & 1) band(1, c, a, b, k, n, add);
}

// to (columns, rows) = from (rows, columns), transposed.
static void transpose(double *to, long to_row, const double *from, long from_row, int rows, int columns) {
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < columns; c++) to[c * to_row + r] = from[r * from_row + c];
}
