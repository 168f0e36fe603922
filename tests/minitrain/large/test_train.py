import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters

from minitrain.common.errors import UserError
from minitrain.large import folder, report
from minitrain.large.config import LargeConfig, plain
from minitrain.large.model import GPT, build_model, flops_per_token, parameter_count
from minitrain.large.shards import Tokens, order
from minitrain.large.train import (
    Training,
    accumulate,
    advance,
    evaluate,
    micro_batch_size,
    start,
    train,
)
from minitrain.training import model as course
from minitrain.training.config import ModelConfig
from minitrain.training.corpus import CONTEXT, vocabulary

Make = Callable[..., LargeConfig]


def gradient(training: Training) -> torch.Tensor:
    return torch.cat([group.gradients for group in training.optimizer.groups])


def parameters(training: Training) -> torch.Tensor:
    return torch.cat([group.values for group in training.optimizer.groups])


@pytest.mark.parametrize("tied", [True, False])
def test_with_the_courses_vocabulary_and_context_it_is_the_courses_model(tied: bool) -> None:
    shape = ModelConfig(tied_embedding=tied)
    mine = build_model(shape, 7, len(vocabulary()), CONTEXT)
    theirs = course.build_model(shape, 7, torch.float32)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    for name, values in theirs.state_dict().items():
        assert torch.equal(mine.state_dict()[name], values), name
    inputs = torch.arange(20).view(2, 10)
    assert torch.equal(mine(inputs), theirs(inputs))


def test_gpt2_small_has_the_size_that_is_published() -> None:
    with torch.device("meta"):
        gpt = GPT(ModelConfig(n_layer=12, n_head=12, d_model=768), 50257, 1024)
    assert parameter_count(gpt) == 124_439_808
    per_token = 6 * (124_439_808 - 1024 * 768) + 12 * 12 * 768 * 1024
    assert flops_per_token(gpt, ModelConfig(n_layer=12, n_head=12, d_model=768)) == per_token


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_size_of_micro_batches_does_not_change_the_gradient(
    tiny: Make, tokens: Tokens, size: int
) -> None:
    whole, parts = start(tiny(), tokens), start(tiny(micro_batch_size=size), tokens)
    losses = [float(accumulate(training)) for training in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    difference = torch.linalg.vector_norm(gradient(whole) - gradient(parts))
    assert torch.linalg.vector_norm(gradient(whole)) > 0
    assert difference < 1e-6 * torch.linalg.vector_norm(gradient(whole))


@pytest.mark.parametrize(
    ("batch", "most", "world", "size"),
    [(96, 32, 1, 32), (96, 32, 8, 12), (96, 32, 2, 24), (7, 3, 2, 2), (8, 5, 1, 4), (5, 5, 5, 1)],
)
def test_micro_batches_are_few_and_of_one_size_where_they_can_be(
    tiny: Make, batch: int, most: int, world: int, size: int
) -> None:
    assert micro_batch_size(tiny(batch_size=batch, micro_batch_size=most), world) == size


def test_the_gradient_is_that_of_the_mean_loss_over_the_whole_batch(
    tiny: Make, tokens: Tokens
) -> None:
    training = start(tiny(micro_batch_size=3), tokens)
    accumulate(training)
    mine = gradient(training).clone()
    training.optimizer.zero_grad()
    rows = order(len(training.windows["train"]), training.config.seed, 0, 8)
    inputs, targets = training.windows["train"].batch(rows, torch.device("cpu"))
    course.language_model_loss(training.gpt(inputs), targets).backward()
    torch.testing.assert_close(mine, gradient(training), rtol=1e-5, atol=1e-7)


def test_it_learns_and_records_what_happened(tiny: Make, tokens: Tokens) -> None:
    training = train(start(tiny(steps=60, eval_interval=20), tokens))
    records = training.records
    assert [record.step for record in records] == [0, 20, 40, 60]
    assert records[0].train_loss is None
    assert records[0].val_loss == pytest.approx(math.log(448), abs=0.1)
    assert records[-1].val_loss < records[0].val_loss - 1
    assert records[-1].train_loss is not None
    assert records[-1].train_loss < records[0].val_loss - 1
    assert set(records[0].weight_norms) >= {"token_embedding", "attention", "mlp", "norm"}
    assert training.epochs == 60 * 8 / len(training.windows["train"])


def test_evaluation_does_not_depend_on_the_size_of_its_batches(tiny: Make, tokens: Tokens) -> None:
    losses = [evaluate(start(tiny(micro_batch_size=n), tokens), "val") for n in (8, 1)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_gradient_that_is_not_finite_ends_the_run_before_the_update(
    tiny: Make, tokens: Tokens
) -> None:
    training = start(tiny(), tokens)
    with torch.no_grad():
        training.gpt.ln_f.weight[0] = math.inf
    before = parameters(training).clone()
    advance(training)
    assert training.diverged
    assert training.step == 0
    assert torch.equal(before, parameters(training))


def test_bfloat16_is_near_float32_and_its_weights_stay_in_float32(
    tiny: Make, tokens: Tokens
) -> None:
    full, half = start(tiny(), tokens), start(tiny(precision="bfloat16"), tokens)
    losses = [float(accumulate(training)) for training in (full, half)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert {p.dtype for p in half.gpt.parameters()} == {torch.float32}


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_it_computes_the_same(tiny: Make, tokens: Tokens) -> None:
    # Five sequences in micro-batches of two: the last one is not compiled.
    runs = [
        start(tiny(compile=c, batch_size=5, micro_batch_size=2, model={"n_layer": 1}), tokens)
        for c in (False, True)
    ]
    losses = [float(accumulate(run)) for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(gradient(runs[0]), gradient(runs[1]), rtol=1e-4, atol=1e-6)
    assert counters["frames"]["ok"] == 1


def test_fewer_tokens_are_the_first_ones_and_are_seen_more_often(
    tiny: Make, tokens: Tokens
) -> None:
    training = start(tiny(train_tokens=10 * 16), tokens)
    assert len(training.windows["train"]) == 10
    for _ in range(10):
        advance(training)
    assert training.epochs == 8


KILLED = """
import json, os, signal, sys
from pathlib import Path
import torch
from minitrain.large import config, folder
from minitrain.large.shards import Tokens

values = json.loads(sys.argv[1])
torch.set_num_threads(1)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if values["where"] == "writing":
    def half(tensors, path, metadata):
        Path(path).write_bytes(b"half of a checkpoint")
        if any(Path(path).parent.glob("checkpoint.safetensors")):
            die()
        real(tensors, path, metadata)
    real = folder.safetensors.torch.save_file
    folder.safetensors.torch.save_file = half

def progress(training):
    if values["where"] == training.step:
        die()

folder.get(Path(values["run"]), config.parse(values["config"], "test"),
           Tokens(Path(values["tokens"])), progress=progress)
"""


def untimed(records: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in records.read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "tokens_per_second"} for record in found]


# Before the first checkpoint, after a record that no checkpoint knows, within a checkpoint.
@pytest.mark.parametrize("where", [3, 11, "writing"])
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(
    tiny: Make,
    token_folder: Path,
    tmp_path: Path,
    run_python: Callable[..., Any],
    where: int | str,
) -> None:
    config, tokens = tiny(), Tokens(token_folder)
    killed = tmp_path / "killed"
    values = {"where": where, "run": str(killed), "tokens": str(token_folder)}
    run_python(KILLED, {**values, "config": plain(config)}, status=-signal.SIGKILL)
    assert not (killed / folder.RESULT).exists()
    assert (killed / folder.CHECKPOINT).exists() == (where != 3)

    again = folder.get(killed, config, tokens)
    whole = folder.get(tmp_path / "whole", config, tokens)

    mine, theirs = (load_file(tmp_path / n / folder.MODEL) for n in ("killed", "whole"))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert untimed(killed / folder.RECORDS) == untimed(tmp_path / "whole" / folder.RECORDS)
    assert again["test_loss"] == whole["test_loss"]
    names = {p.name for p in killed.iterdir()} - {".lock"}
    assert names == {folder.RECORDS, folder.RESULT, folder.MODEL}


def test_a_finished_run_is_read_not_trained_again(
    tiny: Make, tokens: Tokens, tmp_path: Path
) -> None:
    first = folder.get(tmp_path, tiny(), tokens)
    again = folder.get(tmp_path, tiny(), tokens, progress=lambda _: pytest.fail("trained"))
    assert again == json.loads(json.dumps(first))


def test_a_folder_keeps_to_its_run(tiny: Make, tokens: Tokens, tmp_path: Path) -> None:
    folder.get(tmp_path, tiny(), tokens)
    with pytest.raises(UserError, match="a run with steps=20, asked for 21"):
        folder.get(tmp_path, tiny(steps=21), tokens)


def test_a_damaged_checkpoint_is_one_line(tiny: Make, tokens: Tokens, tmp_path: Path) -> None:
    training = start(tiny(), tokens)
    path = tmp_path / folder.CHECKPOINT
    folder.save(training, path)
    folder.load(training, path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"checkpoint\.safetensors: not a checkpoint"):
        folder.get(tmp_path, tiny(), tokens)


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "minitrain", "large", *arguments, "--device", "cpu"]
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    environment |= {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_two_processes_train_as_one_does(tiny: Make, token_folder: Path, tmp_path: Path) -> None:
    # Seven sequences do not divide by two: one process has four, in two micro-batches.
    config = tiny(batch_size=7, micro_batch_size=3, eval_interval=1)
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(plain(config)))
    arguments = (str(path), "--tokens", str(token_folder), "-o", str(tmp_path / "two"))
    done = torchrun(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test loss") == 1
    assert "2 x CPU" in done.stdout

    one = folder.get(tmp_path / "one", config, Tokens(token_folder))
    two = json.loads((tmp_path / "two" / folder.RESULT).read_text())
    assert two["processes"] == 2
    pairs = list(zip(one["records"], two["records"], strict=True))
    assert pairs[1][1]["train_loss"] == pytest.approx(pairs[1][0]["train_loss"], rel=1e-6)
    assert pairs[1][1]["gradient_norm"] == pytest.approx(pairs[1][0]["gradient_norm"], rel=1e-6)
    for mine, theirs in pairs[1:]:
        assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-3)
        assert theirs["val_loss"] == pytest.approx(mine["val_loss"], rel=1e-3)
    assert two["test_loss"] == pytest.approx(one["test_loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("Tesla T4", None),
    ],
)
def test_the_peak_of_a_card_by_the_name_that_cuda_gives(name: str, peak: float | None) -> None:
    assert report.peak_flops(name) == peak
