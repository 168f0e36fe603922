"""``python -m benchmarks``: every figure in one run, on one core."""

import argparse
import datetime
import os
import platform
import statistics
import time
from pathlib import Path

# Before PyTorch and JAX are imported: both size their thread pools when they start.
THREADS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}
FINGERPRINT_STEPS = 20


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds A B C D A B C D ...")
    parser.add_argument("--steps", type=int, default=20, help="training steps in each turn")
    parser.add_argument(
        "--build",
        action="store_true",
        help="also time a cold, a warm and a prose-only build, and each page",
    )
    return parser.parse_args()


def machine() -> str:
    """The processor, the system and the versions: what the figures depend on."""
    import jax
    import torch
    import transformers

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return (
        f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores,"
        f" {torch.backends.cpu.get_cpu_capability()}, {platform.system()};"
        f" Python {platform.python_version()}, torch {torch.__version__},"
        f" transformers {transformers.__version__}, jax {jax.__version__}"
    )


def turn(step, steps: int) -> float:  # type: ignore[no-untyped-def]
    """Milliseconds of one step, the mean over a turn."""
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return 1000 * (time.perf_counter() - began) / steps


def spread(values: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:6.2f}  [{low:.2f}, {high:.2f}]"


def compare_steps(rounds: int, steps: int) -> None:
    """Print milliseconds of a step and the ratio of minitrain's to each of the others'."""
    from benchmarks import contestants

    entered = [
        contestants.minitrain(),
        contestants.float32(),
        contestants.transformers(),
        contestants.jax(),
        contestants.kernel(),
        contestants.web_assembly(),
    ]
    for contestant in entered:  # warm-up: JAX compiles once for each length of a batch
        turn(contestant.step, 5 * steps)
    milliseconds = [[turn(c.step, steps) for c in entered] for _ in range(rounds)]

    print(f"One training step, one thread, {rounds} rounds of {steps} steps in turn:")
    print("median [quartiles]; the ratio is minitrain's time over the other's in the same round\n")
    print(f"{'':52}{'ms':>8}{'':18}{'ratio':>8}")
    for column, contestant in enumerate(entered):
        times = [row[column] for row in milliseconds]
        ratios = [row[0] / row[column] for row in milliseconds]
        ratio = spread(ratios) if column else f"{1:6.2f}"
        print(f"{contestant.name:52}{spread(times):26}{ratio}")


def compare_bytes() -> None:
    """Print that JAX and PyTorch compute the same parameters; stop if they do not."""
    from benchmarks import contestants

    ours, theirs = contestants.same_bytes(FINGERPRINT_STEPS)
    print(f"fingerprint after {FINGERPRINT_STEPS} steps: minitrain {ours[:12]}, JAX {theirs[:12]}")
    if ours != theirs:
        raise SystemExit("JAX and minitrain do not compute the same run: nothing to compare")


def main() -> None:
    """Run what the command line asks for."""
    options = arguments()
    os.environ |= THREADS
    before = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    if before:
        os.sched_setaffinity(0, {max(before)})
    print(f"{datetime.date.today()}; {machine()}\n")
    compare_bytes()
    compare_steps(options.rounds, options.steps)

    if options.build:
        from benchmarks import build_time

        if before:
            os.sched_setaffinity(0, before)
        for name in THREADS:
            os.environ.pop(name)
        times = build_time.measure()
        print(
            f"\njupyter-book build book/: cold {times.cold:.1f} s, warm {times.warm:.1f} s,"
            f" after one more sentence {times.prose:.1f} s\n\nThe pages in the cold build:\n\n"
            f"{times.pages}"
        )


if __name__ == "__main__":
    main()
