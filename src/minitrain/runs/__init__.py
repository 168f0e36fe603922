"""What keeps runs: experiments, checkpoints, the store, sweeps and their tables."""
