// One matrix product, which is where nearly all of the time goes.
//
// C (m, n) = A (m, k) B (k, n), or C += A B. A and B may be read along their rows or along their
// columns, so that a transposed matrix is the same numbers with the two distances exchanged; only C has
// its rows side by side in memory. As in every fast matrix product (Goto & van de Geijn, 2008), a strip
// of B is copied to where it lies in one piece and stays in the nearest cache, and a tile of C is kept
// in registers while k goes by.
#pragma once
#include "numbers.h"

#if defined(__AVX512F__)
enum { LANES = 8, TILE_ROWS = 8, TILE_VECTORS = 3 }; // 24 sums in 32 registers
#elif defined(__AVX__)
enum { LANES = 4, TILE_ROWS = 6, TILE_VECTORS = 2 }; // 12 sums in 16 registers
#else
enum { LANES = 2, TILE_ROWS = 4, TILE_VECTORS = 2 };
#endif
enum { TILE_COLUMNS = TILE_VECTORS * LANES, STRIP = 128 };

typedef double Vector __attribute__((vector_size(8 * LANES), aligned(8)));

// A matrix in memory: how far it is from one row to the next, and from one column to the next.
typedef struct {
  const double *at;
  long row, column;
} Matrix;

typedef struct {
  double *at;
  long row;
} Out;

// The columns of one tile, for at most STRIP of the k steps.
typedef struct {
  Vector of[STRIP][TILE_VECTORS];
} Strip;

static inline Matrix transposed(Matrix matrix) { return (Matrix){matrix.at, matrix.column, matrix.row}; }

static void copy_strip(Strip *strip, Matrix b, int k, int columns) {
  for (int s = 0; s < k; s++) {
    double *to = (double *)strip->of[s];
    const double *from = b.at + s * b.row;
    if (columns == TILE_COLUMNS && b.column == 1) {
      for (int c = 0; c < TILE_COLUMNS; c++) to[c] = from[c];
    } else {
      for (int c = 0; c < TILE_COLUMNS; c++) to[c] = c < columns ? from[c * b.column] : 0;
    }
  }
}

#define UNROLLED _Pragma("clang loop unroll(full)")

// A tile of C: `rows` rows, as many columns as fill `vectors` vectors, `columns` of which exist.
static inline __attribute__((always_inline)) void tile(int rows, int vectors, Out c, Matrix a, const Strip *b, int k,
                                                       int columns, bool add) {
  Vector sums[TILE_ROWS][TILE_VECTORS] = {0};
  const double *from[TILE_ROWS]; // a pointer for each row: they need not wait for one another
  UNROLLED for (int r = 0; r < rows; r++) from[r] = a.at + r * a.row;
  for (long s = 0, offset = 0; s < k; s++, offset += a.column)
    UNROLLED for (int r = 0; r < rows; r++)
      UNROLLED for (int v = 0; v < vectors; v++) sums[r][v] += from[r][offset] * b->of[s][v];
  UNROLLED for (int r = 0; r < rows; r++) {
    double *row = c.at + r * c.row;
    if (columns == vectors * LANES) {
      UNROLLED for (int v = 0; v < vectors; v++) {
        Vector *to = (Vector *)(row + v * LANES);
        *to = add ? *to + sums[r][v] : sums[r][v];
      }
    } else {
      for (int i = 0; i < columns; i++) row[i] = (add ? row[i] : 0) + sums[r][i / LANES][i % LANES];
    }
  }
}

// It is compiled once for each of these numbers of rows.
static inline __attribute__((always_inline)) void all_rows(int vectors, Out c, Matrix a, const Strip *b, int m, int k,
                                                           int columns, bool add) {
  for (; m >= TILE_ROWS; m -= TILE_ROWS, a.at += TILE_ROWS * a.row, c.at += TILE_ROWS * c.row)
    tile(TILE_ROWS, vectors, c, a, b, k, columns, add);
  for (; m >= 2; m -= 2, a.at += 2 * a.row, c.at += 2 * c.row) tile(2, vectors, c, a, b, k, columns, add);
  if (m) tile(1, vectors, c, a, b, k, columns, add);
}

static void matmul(Out c, Matrix a, Matrix b, int m, int k, int n, bool add) {
  Strip strip;
  for (int begin = 0; begin < k; begin += STRIP, add = true) {
    int steps = k - begin < STRIP ? k - begin : STRIP;
    Matrix a_part = {a.at + begin * a.column, a.row, a.column};
    for (int column = 0; column < n; column += TILE_COLUMNS) {
      int columns = n - column < TILE_COLUMNS ? n - column : TILE_COLUMNS;
      Out c_part = {c.at + column, c.row};
      copy_strip(&strip, (Matrix){b.at + begin * b.row + column * b.column, b.row, b.column}, steps, columns);
      if (columns <= LANES)
        all_rows(1, c_part, a_part, &strip, m, steps, columns, add);
      else
        all_rows(TILE_VECTORS, c_part, a_part, &strip, m, steps, columns, add);
    }
  }
}
