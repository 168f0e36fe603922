"""The training itself, to be read in one sitting: corpus, model, optim, schedule, precision, grid,
metrics, loop. What is in here decides every number of the course."""
