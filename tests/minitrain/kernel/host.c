// A host for the kernel where there is no Python: reads a config and the corpus from standard input,
// trains, and prints the fingerprint of each record. That before the first step is left out: under an
// emulator, to evaluate takes as long as twenty steps.
#include "minitrain.c"
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  static Config config;
  static Item items[N_TRAIN + N_VAL];
  if (fread(&config, sizeof config, 1, stdin) != 1 || fread(items, sizeof items, 1, stdin) != 1) return 1;
  void *memory = aligned_alloc(64, (size_t)minitrain_bytes(&config));
  Training *training = minitrain_start(memory, &config, items);
  for (int status = 0; !(status & FINISHED);) {
    status = minitrain_advance(training);
    if (!(status & RECORDED)) continue;
    for (int i = 0; i < 32; i++) printf("%02x", minitrain_fingerprint(training)[i]);
    printf("\n");
  }
  return 0;
}
