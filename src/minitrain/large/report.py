"""What a finished run says of itself: speed, losses, and a first sentence."""

import platform
import re
from typing import Any

import torch

from minitrain.large.config import plain
from minitrain.large.model import GPT, flops_per_token, parameter_count
from minitrain.large.tokens import load_tokenizer
from minitrain.large.train import Training, evaluate
from minitrain.training.schedule import total_decay

SMOKE_TEST = "Every effort moves you"
SMOKE_TEST_TOKENS = 20

# Dense bfloat16 FLOP/s with sums in float32, as the makers' data sheets give them, without
# sparsity. Patterns of names; the first that is found counts.
PEAKS = {
    "B200": 2250e12,
    "GH200": 989e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "A10G": 70e12,
    "A10": 125e12,
    "A40": 149.7e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090$": 165.2e12,  # not the 4090 D, nor that of a laptop
    "RTX 3090$": 71e12,
}


def peak_flops(card: str) -> float | None:
    """The peak of a card by its name, in bfloat16 FLOP/s; None if it is not known."""
    found = (peak for name, peak in PEAKS.items() if re.search(rf"\b{name}(?!\w)", card))
    return next(found, None)


def card(device: torch.device) -> str:
    """What the numbers were computed on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"


def share_of_peak(training: Training) -> float | None:
    """Model FLOP utilisation (Chowdhery et al., 2022): None if the card's peak is not known."""
    rate, peak = training.tokens_per_second(), peak_flops(card(training.processes.device))
    if rate is None or peak is None:
        return None
    per_token = flops_per_token(training.gpt, training.config.model)
    return rate * per_token / (peak * training.processes.world)


def of(training: Training) -> dict[str, Any]:
    """The result as JSON values. Each process calls this; the test loss takes all of them.

    tokens_per_second: see `Training`. train_tokens: those of the training split that fill windows;
    seen: how often each was seen, on average.
    share_of_peak: None for a card that is not in the table. test_loss: on the whole test split,
    None if the run diverged.
    """
    config, processes = training.config, training.processes
    last = training.records[-1]
    return {
        "config": plain(config),
        "steps": training.step,
        "diverged": training.diverged,
        "tokens_seen": training.step * training.tokens_per_step,
        "train_tokens": len(training.windows["train"]) * config.context,
        "seen": training.epochs,
        "parameters": parameter_count(training.gpt),
        "total_decay": total_decay(config.course()),
        "seconds": training.seconds,
        "tokens_per_second": training.tokens_per_second(),
        "share_of_peak": share_of_peak(training),
        "train_loss": last.train_loss,
        "val_loss": last.val_loss,
        "test_loss": None if training.diverged else evaluate(training, "test"),
        "prompt": SMOKE_TEST,
        "completion": complete(training, SMOKE_TEST),
        "card": card(processes.device),
        "processes": processes.world,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
        },
        "tokens": {
            "folder": str(training.tokens.folder),
            "digest": training.tokens.digest,
            "vocabulary": training.tokens.vocabulary,
        },
        "records": [record.plain() for record in training.records],
    }


@torch.no_grad()
def complete(training: Training, prompt: str) -> str:
    """What the model writes after `prompt`: the most probable token each time, twenty of them."""
    tokenizer = load_tokenizer(training.tokens.folder)
    gpt: GPT = training.gpt
    ids = tokenizer.encode(prompt).ids
    begin = len(ids)
    for _ in range(SMOKE_TEST_TOKENS):
        inputs = torch.tensor([ids[-gpt.context :]], device=gpt.device)
        # Above the vocabulary lie the ids that only fill it up to a multiple of 64.
        logits = gpt(inputs)[0, -1, : training.tokens.vocabulary]
        ids.append(int(logits.argmax()))
    return str(tokenizer.decode(ids[begin:]))


def lines(result: dict[str, Any]) -> list[str]:
    """The report that ends a training, a row in each line."""
    rate, share = result["tokens_per_second"], result["share_of_peak"]
    diverged = " (diverged)" if result["diverged"] else ""
    seen = f"each of {result['train_tokens']:,} {result['seen']:.2f} times"
    rows = {
        "steps": f"{result['steps']:,}{diverged}",
        "tokens seen": f"{result['tokens_seen']:,}, {seen}",
        "parameters": f"{result['parameters']:,}",
        "seconds": f"{result['seconds']:.1f}",
        "tokens/second": _number(rate, ",.0f"),
        "share of peak": "unknown" if share is None else f"{share:.1%}",
        "card": f"{result['processes']} x {result['card']}",
        "train loss": _number(result["train_loss"], ".4f"),
        "val loss": _number(result["val_loss"], ".4f"),
        "test loss": _number(result["test_loss"], ".4f"),
        "completion": f"{result['prompt']}{result['completion']}",
    }
    return [f"{name:<14} {value}" for name, value in rows.items()]


def _number(value: float | None, form: str) -> str:
    return "none" if value is None else format(value, form)
