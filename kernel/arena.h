// Memory: one stretch that the host provides, handed out from its beginning to its end.
#pragma once
#include "numbers.h"

typedef struct {
  char *base; // NULL: nothing is handed out, but what would be is counted
  size_t used;
} Arena;

static void *take(Arena *arena, size_t bytes) {
  size_t at = arena->used;
  arena->used += (bytes + 63) / 64 * 64; // on a boundary of cache lines, if the base is
  return arena->base ? arena->base + at : NULL;
}

static double *take_doubles(Arena *arena, long count) { return take(arena, (size_t)count * sizeof(double)); }
