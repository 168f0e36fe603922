"""Rules of thumb for batch size and weight decay that were fitted to large runs.

Bergsma et al., "Power Lines: Scaling Laws for Weight Decay and Batch Size in LLM Pre-training",
2025 (arXiv:2505.13738).
"""


def timescale(batch_size: float, learning_rate: float, weight_decay: float, data: float) -> float:
    """AdamW's timescale tau as a share of the whole run (Power Lines, section 2).

    1 / (learning_rate * weight_decay) is the timescale in steps, and a run has data / batch_size
    steps. `batch_size` and `data` count the same thing, sequences or tokens; tau has no unit.
    """
    return batch_size / (learning_rate * weight_decay * data)


def weight_decay_for(tau: float, batch_size: float, learning_rate: float, data: float) -> float:
    """The weight decay that gives the timescale `tau`; `batch_size`, `data` as in `timescale`."""
    return batch_size / (learning_rate * tau * data)


def optimal_timescale(tokens_per_parameter: float) -> float:
    """The tau that the Power Lines fit advises for so many training tokens per parameter."""
    return 1.084 * tokens_per_parameter**-0.527


def optimal_batch_size(tokens: float) -> float:
    """The batch size, in sequences, that the Power Lines fit advises for so many training tokens.

    The fit was made with sequences of 2048 tokens.
    """
    return 0.0306 * tokens**0.383


def compute_optimal_batch_size(flops: float) -> float:
    """The batch size, in tokens, that DeepSeek fitted to the compute of a run.

    `flops`: of all steps, embeddings not counted. DeepSeek counts 72 n d^2 + 12 n d l per token,
    for n layers of width d and sequences of l tokens (DeepSeek-AI, 2024, arXiv:2401.02954).
    """
    return 0.2920 * flops**0.3271
