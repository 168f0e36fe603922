"""The learning-rate schedule: linear warm-up, then half a cosine down to a fraction of the peak."""

import math

from minitrain.training.config import Config


def learning_rate(step: int, config: Config) -> float:
    """The learning rate of update `step`, counted from 0.

    Warm-up reaches the peak at step `warmup_steps`; the cosine ends at `final_fraction` of the peak
    (Loshchilov & Hutter, 2017, eq. 5, without restarts).
    """
    peak, warmup = config.optimizer.learning_rate, config.schedule.warmup_steps
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, config.steps - 1 - warmup)
    floor = config.schedule.final_fraction
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def total_decay(config: Config) -> float:
    """Sum over the run of learning rate times weight decay: the run's length in decay timescales.

    A weight that received no gradient at all would end at about exp(-total_decay) of its start.
    """
    rates = (learning_rate(step, config) for step in range(config.steps))
    return config.optimizer.weight_decay * math.fsum(rates)
