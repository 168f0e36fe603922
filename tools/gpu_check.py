"""What one CUDA card says of `minitrain large`: its speed and nanoGPT's, weight decay at 10^8.

    python tools/gpu_check.py OUT.json [--seconds 580] [--size card|small|toy]

Makes tokens of the Python files of the installed packages, measures the training of GPT-2 124M by
nanoGPT's code and by ours in turn, then trains a model for each weight decay and seed until the
time is used up. OUT.json is written anew after every part: a script that is cut short loses only
the part under way. Two sizes take the same path on a CPU: small has the shape of the course's own
model and learns in minutes; toy learns nothing in seconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import platform
import shlex
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import nanogpt_reference as nanogpt
from minitrain.common.files import write_atomically
from minitrain.large import config as configs
from minitrain.large import report
from minitrain.large import tokens as making
from minitrain.large.config import LargeConfig
from minitrain.large.model import flops_per_token, padded, parameter_count
from minitrain.large.processes import Processes
from minitrain.large.shards import Tokens
from minitrain.large.train import Training, advance, start, train
from minitrain.training.schedule import total_decay

GPT2_VOCABULARY = 50_257  # of the speed: 50304 when padded, as nanoGPT has it
LAMBDAS = (0.0, 0.1, 1.0, 3.0, 10.0, 30.0)
EPOCHS = 10  # of the runs that see their tokens again
REPEATED_DECAY = 2.0  # lambda times the summed learning rate, of the one of them that decays
SEEDS_TO_FIT = 2
MOST_STEPS = 1200
TRIAL_STEPS = 20
SPARE = 0.9  # of the time left that a plan may use


@dataclass(frozen=True)
class Size:
    """What differs between a card and a CPU."""

    vocabulary: int
    model: dict[str, int]
    context: int
    micro_batch_size: int
    accumulate: int  # micro-batches of a step, where speed is measured
    sequences: int  # of a step, where runs are compared
    learning_rate: float
    compile: bool
    precision: str
    eval_sequences: int
    warm_up: int  # steps before speed is measured
    block: int  # steps of one measurement
    blocks: int  # measurements of each


TOY = Size(
    vocabulary=400,
    model={"n_layer": 2, "n_head": 2, "d_model": 32},
    context=32,
    micro_batch_size=4,
    accumulate=2,
    sequences=8,
    learning_rate=1e-3,
    compile=False,
    precision="float32",
    eval_sequences=16,
    warm_up=1,
    block=2,
    blocks=2,
)


SMALL = Size(
    vocabulary=1024,
    model={"n_layer": 2, "n_head": 4, "d_model": 64},
    context=64,
    micro_batch_size=16,
    accumulate=1,
    sequences=16,
    learning_rate=3e-3,
    compile=False,
    precision="float32",
    eval_sequences=256,
    warm_up=1,
    block=8,
    blocks=4,
)
"""The shape of the course's own model: what differs from the chapters is the text."""


def card_size(device: torch.device) -> Size:
    """GPT-2 124M, in micro-batches that fit into the card's memory."""
    memory = torch.cuda.get_device_properties(device).total_memory / 2**30
    micro = 32 if memory > 70 else 16 if memory > 35 else 8
    return Size(
        vocabulary=16_320,
        model={"n_layer": 12, "n_head": 12, "d_model": 768},
        context=1024,
        micro_batch_size=micro,
        accumulate=128 // micro,
        sequences=32,
        learning_rate=1e-3,
        compile=True,
        precision="bfloat16",
        eval_sequences=256,
        warm_up=3,
        block=8,
        blocks=4,
    )


class OutOfTime(Exception):
    """The budget is used up."""


@dataclass
class Check:
    """The measurements so far, and the time that is left."""

    output: Path
    deadline: float
    size: Size
    device: torch.device
    began: float = field(default_factory=time.perf_counter)
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        return self.deadline - time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[dict[str, Any]]:
        """What is put into the dict is in the file when the part ends, whole or not."""
        began = time.perf_counter()
        found: dict[str, Any] = self.found.setdefault(name, {})
        try:
            yield found
        except OutOfTime:
            found["cut"] = "out of time"
        except Exception as error:  # the other parts are still worth having
            found["error"] = f"{type(error).__name__}: {error}"[:2000]
            print(f"{name}: {found['error']}", file=sys.stderr, flush=True)
        found["part_seconds"] = time.perf_counter() - began
        self.write()
        print(f"{name}: {found['part_seconds']:.0f} s, {self.left:.0f} s left", flush=True)

    def write(self) -> None:
        """Everything so far, in one file."""
        self.found["seconds"] = time.perf_counter() - self.began
        write_atomically(self.output, json.dumps(self.found, indent=1).encode())


def environment(device: torch.device) -> dict[str, Any]:
    """Card, versions and the command that repeats this."""
    return {
        "command": shlex.join(["python", "tools/gpu_check.py", *sys.argv[1:]]),
        "card": report.card(device),
        "peak_flops": report.peak_flops(report.card(device)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def speed(check: Check, tokens: Tokens, found: dict[str, Any], bias: bool) -> None:
    """Tokens per second of nanoGPT and of ours, at one size, in turn: ABBA, then again."""
    size, device = check.size, check.device
    tokens.vocabulary = GPT2_VOCABULARY
    shape = nanogpt.Shape(
        block_size=size.context,
        vocab_size=padded(GPT2_VOCABULARY),
        n_layer=size.model["n_layer"],
        n_head=size.model["n_head"],
        n_embd=size.model["d_model"],
        bias=bias,
    )
    stretch = next(shard for split, shard in tokens.shards if split == "train")
    theirs = nanogpt.Trainer(
        shape, stretch, size.micro_batch_size, size.accumulate, device, size.compile
    )
    sequences = size.micro_batch_size * size.accumulate
    mine = start(large_config(size, steps=MOST_STEPS, sequences=sequences), tokens, on(device))
    steps: dict[str, Callable[[], None]] = {
        "nanogpt": theirs.step,
        "minitrain": lambda: advance(mine),
    }
    for name, step in steps.items():
        began = time.perf_counter()
        for _ in range(size.warm_up):
            step()
        synchronise(device)
        found[f"{name}_warm_up_seconds"] = time.perf_counter() - began
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for block in range(size.blocks):
        for name in sorted(steps, reverse=bool(block % 2)):
            if check.left <= 0:
                raise OutOfTime
            synchronise(device)
            began = time.perf_counter()
            for _ in range(size.block):
                steps[name]()
            synchronise(device)
            seconds = time.perf_counter() - began
            rates[name].append(size.block * sequences * size.context / seconds)
    found["tokens_per_second"] = rates
    found["median"] = {name: statistics.median(values) for name, values in rates.items()}
    found["ratio"] = found["median"]["minitrain"] / found["median"]["nanogpt"]
    found["parameters"] = {
        "nanogpt": sum(p.numel() for p in theirs.model.parameters()),
        "minitrain": parameter_count(mine.gpt),
    }
    found["nanogpt_bias"] = bias
    found["sequences_per_step"], found["micro_batch_size"] = sequences, size.micro_batch_size
    if peak := report.peak_flops(report.card(device)):
        flops = flops_per_token(mine.gpt, mine.config.model)
        found["share_of_peak"] = {n: r * flops / peak for n, r in found["median"].items()}


def large_config(size: Size, steps: int, sequences: int, **changes: Any) -> LargeConfig:
    """A config of this size; `changes` have dotted keys."""
    values = {
        "steps": steps,
        "batch_size": sequences,
        "eval_interval": max(1, steps // 5),
        "model": size.model,
        "optimizer": {"learning_rate": size.learning_rate, "gradient_clip": 1.0},
        "schedule": {"warmup_steps": steps // 10},
        "context": size.context,
        "micro_batch_size": min(size.micro_batch_size, sequences),
        "precision": size.precision,
        "compile": size.compile,
        "eval_sequences": size.eval_sequences,
    }
    return configs.parse(configs.patched(values, changes), "gpu_check")


def plan(size: Size, steps: int, seed: int) -> dict[str, LargeConfig]:
    """The runs of one seed, by name."""
    once = size.sequences * size.context * steps

    def run(weight_decay: float, **changes: Any) -> LargeConfig:
        dotted = {"optimizer.weight_decay": weight_decay, "seed": seed}
        dotted |= {key.replace("__", "."): value for key, value in changes.items()}
        return large_config(size, steps, size.sequences, **dotted)

    summed_rate = total_decay(run(1.0).course())
    few = {"train_tokens": max(size.context, once // EPOCHS)}
    runs = {f"adamw {value:g}": run(value) for value in LAMBDAS}
    runs["adam-l2 0.1"] = run(0.1, optimizer__name="adam")
    runs["repeated, adamw 0"] = run(0.0, **few)
    runs["repeated, adamw D=2"] = run(REPEATED_DECAY / summed_rate, **few)
    return runs


def measure(check: Check, tokens: Tokens, name: str, config: LargeConfig) -> dict[str, Any]:
    """Train one run; what it ended with."""

    def on_step(training: Training) -> None:
        if check.left <= 0:
            raise OutOfTime

    began = time.perf_counter()
    training = train(start(config, tokens, on(check.device)), on_step)
    first, last = training.records[0].weight_norms, training.records[-1].weight_norms
    return {
        "name": name,
        "seed": config.seed,
        "optimizer": config.optimizer.name,
        "weight_decay": config.optimizer.weight_decay,
        "total_decay": total_decay(config.course()),
        "steps": training.step,
        "seen": training.epochs,
        "diverged": training.diverged,
        "val_loss": training.records[-1].val_loss,
        "train_loss": training.records[-1].train_loss,
        "relative_norms": {kind: last[kind] / first[kind] for kind in last if first[kind]},
        "matrices": matrices(last) / matrices(first),
        "tokens_per_second": training.tokens_per_second(),
        "seconds": time.perf_counter() - began,
        "records": [record.plain() for record in training.records],
        "config": configs.plain(config),
    }


def matrices(norms: dict[str, float]) -> float:
    """The norm of what is neither an embedding nor one-dimensional."""
    return math.hypot(norms["attention"], norms["mlp"])


def runs(
    check: Check, tokens: Tokens, found: dict[str, Any], steps: int | None, first: int, most: int
) -> None:
    """All runs of a seed, then those of the next: a seed that does not fit is not begun."""
    size = check.size
    per_step, around = trial(check, tokens)
    if steps is None:
        per_run = SPARE * check.left / (SEEDS_TO_FIT * len(plan(size, 100, first)))
        steps = int((per_run - around) / per_step)
        steps = max(20, min(MOST_STEPS, steps // 10 * 10))
    found |= {"steps": steps, "tokens_per_run": steps * size.sequences * size.context, "runs": []}
    longest = around + steps * per_step
    for seed in range(first, first + most):
        configs_of_seed = plan(size, steps, seed)
        if found["runs"] and check.left < len(configs_of_seed) * longest:
            found["cut"] = f"no time for all runs of seed {seed}"
            return
        complete: list[dict[str, Any]] = []
        for name, config in configs_of_seed.items():
            result = measure(check, tokens, name, config)
            complete.append(result)
            longest = max(longest, result["seconds"]) if seed == first else longest
            found["incomplete_seed"] = complete
            check.write()
            release(check.device)
            print(f"  {seed} {name}: {result['val_loss']:.4f}, {check.left:.0f} s left", flush=True)
        found["runs"] += found.pop("incomplete_seed")
        check.write()


def trial(check: Check, tokens: Tokens) -> tuple[float, float]:
    """Seconds of a step, and seconds of a run beside its steps: its start and its records.

    The first trial compiles what all runs share; the second one counts.
    """
    per_step = around = 0.0
    for _ in range(2):
        config = large_config(check.size, TRIAL_STEPS, check.size.sequences)
        result = measure(check, tokens, "trial", config)
        per_step = config.batch_size * config.context / result["tokens_per_second"]
        around = max(0.0, result["seconds"] - TRIAL_STEPS * per_step)
        release(check.device)
    return per_step, around


def on(device: torch.device) -> Processes:
    """This process alone, on a device."""
    return Processes(device=device)


def synchronise(device: torch.device) -> None:
    """Wait for the card."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def release(device: torch.device) -> None:
    """Give back the memory of a run that nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def arguments() -> argparse.Namespace:
    """The command line."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("output", type=Path, help="the JSON file to write")
    parser.add_argument("--seconds", type=float, default=580, help="the budget of everything")
    parser.add_argument("--size", choices=("card", "small", "toy"), default="card")
    parser.add_argument("--texts", type=Path, help="a folder with .py files; by default, packages")
    parser.add_argument("--steps", type=int, help="of a run; by default two seeds fit")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=8, help="at most")
    parser.add_argument("--nanogpt-bias", action="store_true", help="with biases, as GPT-2 has")
    parser.add_argument("--skip-speed", action="store_true", help="runs alone")
    return parser.parse_args()


def texts_of(size: str) -> Path:
    """Text that every installation has: its packages, PyTorch alone, or a little of Python's."""
    paths = sysconfig.get_paths()
    if size == "card":
        return Path(paths["purelib"])
    return Path(torch.__file__).parent if size == "small" else Path(paths["stdlib"]) / "email"


def main() -> int:
    """All parts, in turn. Returns 1 if one of them failed."""
    began = time.perf_counter()
    options = arguments()
    if options.size == "card" and not torch.cuda.is_available():
        print("gpu_check: no CUDA card here; --size small or toy runs on a CPU", file=sys.stderr)
        return 2
    device = torch.device("cuda" if options.size == "card" else "cpu")
    size = {"toy": TOY, "small": SMALL}.get(options.size) or card_size(device)
    check = Check(options.output, began + options.seconds, size, device, began)
    check.found |= environment(device)
    check.write()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "tokens"
        with check.part("tokens") as found:
            texts = options.texts or texts_of(options.size)
            found |= making.make(texts, place, size.vocabulary, (".py",))
        if not options.skip_speed:
            with check.part("speed") as found:
                speed(check, Tokens(place), found, options.nanogpt_bias)
            release(device)
        steps = 20 if options.size == "toy" and options.steps is None else options.steps
        with check.part("weight_decay") as found:
            runs(check, Tokens(place), found, steps, options.first_seed, options.seeds)
    return int(any("error" in part for part in check.found.values() if isinstance(part, dict)))


if __name__ == "__main__":
    sys.exit(main())
