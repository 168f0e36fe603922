import email
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minitrain.command_line.main import main
from minitrain.large import config as configs
from minitrain.large.config import LargeConfig, plain
from minitrain.training.config import Config, flat

TEXTS = Path(email.__file__).parent
ROOT = Path(__file__).resolve().parents[3]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def minitrain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `minitrain` in this process; returns status, standard output and standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["minitrain", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return (int(end.value.code or 0), *capsys.readouterr())

    return call


def test_from_a_folder_of_text_to_the_report(minitrain: Call, tmp_path: Path) -> None:
    tokens, run = tmp_path / "tokens", tmp_path / "run"
    status, out, err = minitrain("tokens", TEXTS, "-o", tokens, "--vocabulary", 400)
    assert (status, err) == (0, "")
    assert "train " in out
    short = ("--set=steps=4", "--set=eval_interval=2", "--set=schedule.warmup_steps=1")
    toy = ROOT / "experiments-large" / "toy.yaml"
    arguments = ("large", toy, "--tokens", tokens, "-o", run, "--device", "cpu", *short)
    status, out, err = minitrain(*arguments)
    assert (status, err) == (0, "")
    for word in ("tokens seen", "tokens/second", "share of peak  unknown", "train loss"):
        assert word in out
    assert "test loss" in out
    assert "Every effort moves you" in out
    values = json.loads(minitrain(*arguments, "--json")[1])
    assert values["steps"] == 4
    assert [r["step"] for r in values["records"]] == [0, 2, 4]

    page = tmp_path / "page.html"
    kept = f"{ROOT / 'benchmarks' / 'scale-small.json'}:adamw 0.1:0"
    assert minitrain("compare", run, kept, "-o", page) == (0, f"{page}\n", "")
    shown = page.read_text(encoding="utf-8")
    assert f"{values['records'][-1]['val_loss']:.4f}" in shown
    assert '"model.n_head"' in shown
    assert '"optimizer.gradient_clip"' not in shown  # the same in both
    assert "accuracy.train" not in shown
    for command in ("explain", "generate"):
        status, out, err = minitrain(command, run, kept)
        assert (status, out) == (2, "")
        assert err == f"minitrain: {run}: is a large run; only compare shows it\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        ("{", "is not JSON"),
        ("[]", "is not what tools/gpu_check.py writes"),
        (
            '{"weight_decay": {"runs": [{"name": "a", "seed": 1}]}}',
            "'b:2' is none of its 1 runs",
        ),
        ('{"weight_decay": {"runs": [{"name": "b", "seed": 2}]}}', "is not the result of a large"),
    ],
)
def test_a_recorded_run_that_is_none_is_one_line(
    content: str | None, said: str, minitrain: Call, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "check.json").write_text(content)
    status, out, err = minitrain("compare", f"{tmp_path / 'check.json'}:b:2", "elsewhere")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.parametrize("name", ["gpt2-small", "toy"])
def test_the_configs_that_the_course_brings_are_valid(name: str) -> None:
    config = configs.load(ROOT / "experiments-large" / f"{name}.yaml")
    assert config == configs.parse(plain(config), "again")


def test_the_keys_are_those_of_the_course_and_a_few_more() -> None:
    course = {key for key in flat(Config()) if not key.startswith("arithmetic.")}
    assert course < set(configs.keys())
    assert set(configs.keys()) - course == {
        "context",
        "micro_batch_size",
        "precision",
        "compile",
        "eval_sequences",
        "checkpoint_interval",
        "train_tokens",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: 0", "steps: expected 1 or more (got 0)"),
        ("step: 5", "step: unknown key (got 5); did you mean steps?"),
        ("optimizer: {lr: 1}", "optimizer.lr: unknown key (got 1)"),
        ("arithmetic: {grid_bits: 20}", "arithmetic: unknown key"),
        ("model: {d_model: 100}", "n_head=12 does not divide d_model=100"),
        ("model: {dropout: 0.1}", "model.dropout=0.1: expected 0"),
        ("precision: float64", "precision: expected 'bfloat16' | 'float32' (got 'float64')"),
        ("compile: 1", "compile: expected true or false (got 1)"),
        ("micro_batch_size: 97", "micro_batch_size=97 is more than batch_size=96"),
        ("steps: 50", "schedule.warmup_steps=100 leaves nothing of steps=50"),
        ("optimizer:\n  learning_rate: 1,5", "expected a number, with a point before"),
        ("optimizer: 3", "optimizer: expected keys and values (got 3)"),
        ("[1, 2]", "expected keys and values"),
    ],
)
def test_a_bad_config_is_one_line_that_names_field_and_value(
    minitrain: Call, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    status, out, err = minitrain("large", path, "--tokens", tmp_path, "-o", tmp_path / "run")
    assert (status, out) == (2, "")
    assert err.startswith(f"minitrain: {path}: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("context=100000", "context: expected 65536 or less (got 100000)"),
        ("context=4000", "do not fill one window of context=4000, which takes one token more"),
        ("train_tokens=10", "10 tokens of the split train do not fill one window"),
        ("optimizer.betas=3", "optimizer.betas: expected a list (got 3)"),
        ("model.n_layers=3", "model.n_layers: unknown key (got 3); did you mean model.n_layer?"),
        ("steps.a=3", "steps: expected a whole number"),
        ("steps", "expected KEY=VALUE"),
    ],
)
def test_a_bad_change_is_one_line(
    minitrain: Call, token_folder: Path, tmp_path: Path, changes: str, said: str
) -> None:
    toy = ROOT / "experiments-large" / "toy.yaml"
    arguments = ("large", toy, "--tokens", token_folder, "-o", tmp_path / "run")
    status, out, err = minitrain(*arguments, "--set", changes, "--device", "cpu")
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def bad_folders(folder: Path) -> list[tuple[tuple[object, ...], str]]:
    (folder / "empty").mkdir()
    (folder / "few").mkdir()
    (folder / "few" / "a.txt").write_text("one text")
    (folder / "few" / "b.txt").write_bytes(b"\xff")
    (folder / "file").write_text("no folder")
    (folder / "there").mkdir()
    out = ("-o", folder / "tokens")
    toy = ROOT / "experiments-large" / "toy.yaml"
    return [
        (("tokens", folder / "missing", *out), "missing: is not a folder"),
        (("tokens", folder / "file", *out), "file: is not a folder"),
        (("tokens", folder / "empty", *out), "0 different texts"),
        (("tokens", folder / "few", *out), "skipped: 1 not UTF-8"),
        (("tokens", TEXTS, "-o", folder / "there"), "there: is there already"),
        (("tokens", TEXTS, "-o", folder / "file" / "x", "--vocabulary", 300), "file"),
        (("tokens", TEXTS, *out, "--vocabulary", "256"), "--vocabulary '256'"),
        (("tokens", TEXTS), "Missing option"),
        (("large", toy, "--tokens", folder / "empty", "-o", folder / "run"), "no tokens"),
        (("large", folder / "no.yaml", "--tokens", folder, "-o", folder), "no such file"),
    ]


def test_bad_folders_are_one_line_each(minitrain: Call, tmp_path: Path) -> None:
    for arguments, said in bad_folders(tmp_path):
        status, out, err = minitrain(*arguments)
        assert (status, out) == (2, ""), arguments
        assert said in err
        assert err.count("\n") == 1
    assert not (tmp_path / "tokens").exists()


def test_a_run_folder_that_is_a_file_is_one_line(
    minitrain: Call, token_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    toy = ROOT / "experiments-large" / "toy.yaml"
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        status, out, err = minitrain("large", toy, "--tokens", token_folder, "-o", place)
        assert (status, out) == (2, "")
        assert "file" in err
        assert err.count("\n") == 1


def test_a_config_has_the_schedule_of_the_course(tiny: Callable[..., LargeConfig]) -> None:
    course = tiny().course()
    assert course.steps == tiny().steps
    assert course.schedule == tiny().schedule
    assert course.optimizer == tiny().optimizer


def test_too_little_memory_is_one_line_that_says_what_helps(
    minitrain: Call, token_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 7.00 GiB")

    monkeypatch.setattr("minitrain.large.train.accumulate", full)
    toy = ROOT / "experiments-large" / "toy.yaml"
    status, out, err = minitrain("large", toy, "--tokens", token_folder, "-o", tmp_path / "run")
    assert (status, out) == (2, "")
    assert err == "minitrain: not enough memory; a smaller micro_batch_size needs less\n"
