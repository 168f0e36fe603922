"""The command line as a user meets it, in processes of its own."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch

from minitrain.command_line.main import main
from minitrain.runs import code, experiments, fingerprints, sweep
from minitrain.runs.store import Store, read_run
from minitrain.training import generate, loop
from minitrain.training.config import Config, patched

SHORT = (
    "--set=steps=12",
    "--set=schedule.warmup_steps=2",
    "--set=batch_size=4",
    "--set=model.n_layer=1",
    "--set=model.n_head=2",
    "--set=model.d_model=8",
)
EXPERIMENT = "18-the-run-that-remembers"
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def minitrain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run `minitrain` with a store of the test's own: the entry point itself, in this process."""
    monkeypatch.setenv("MINITRAIN_STORE", str(tmp_path / "runs"))

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["minitrain", *arguments])
        capsys.readouterr()
        try:
            main()
            status: int | str | None = 0
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(status or 0), *printed)

    return call


EXPERIMENT_WITH_GRID = """
base:
  steps: {steps}
  batch_size: 4
  eval_interval: 1000
  model: {{n_layer: 1, n_head: 2, d_model: 8}}
  optimizer: {{learning_rate: 0.01, weight_decay: 1.0}}
  schedule: {{warmup_steps: 2}}
variants:
  sweep: {{}}
  other: {{optimizer: {{name: adam}}}}
grid:
  optimizer.weight_decay: [0.0, 1.0]
seeds: {{sweep: [1, 2, 3]}}
"""


@pytest.fixture
def grid(tmp_path: Path) -> str:
    """The folder of an experiment with six short runs."""
    return write_grid(tmp_path, steps=12)


def write_grid(folder: Path, steps: int) -> str:
    (folder / "99-grid").mkdir()
    text = EXPERIMENT_WITH_GRID.format(steps=steps)
    (folder / "99-grid" / "config.yaml").write_text(text, encoding="utf-8")
    return str(folder / "99-grid")


@pytest.fixture
def train_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in this process: starting others takes seconds."""

    def train(configs: Sequence[Config], store: Store, *_rest: object) -> None:
        for config in configs:
            store.get(config)

    monkeypatch.setattr(sweep, "_train", train)


def short_run(minitrain: Call, *arguments: str) -> dict[str, object]:
    done = minitrain("train", EXPERIMENT, *SHORT, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    values: dict[str, object] = json.loads(done.stdout)
    return values


def test_json_is_one_object_on_stdout_and_nothing_else(minitrain: Call) -> None:
    done = minitrain("train", EXPERIMENT, *SHORT, "--json")
    values = json.loads(done.stdout)
    assert done.stderr == ""
    assert {"fingerprint", "steps", "train_loss", "val_loss", "seconds", "run_dir"} <= set(values)
    assert values["steps"] == 12
    assert len(values["fingerprint"]) == 64
    assert (Path(values["run_dir"]) / "run.json").exists()


def test_the_report_has_what_a_reader_compares(minitrain: Call) -> None:
    report = minitrain("train", EXPERIMENT, *SHORT).stdout
    for word in ("steps", "tokens seen", "seconds", "tokens/second", "train loss", "val loss"):
        assert word in report
    assert "found" not in report
    values = short_run(minitrain)
    assert str(values["fingerprint"]) in report
    assert str(values["run_dir"]) in report


def test_a_run_from_the_store_does_not_pretend_to_have_been_trained(minitrain: Call) -> None:
    assert short_run(minitrain)["found"] is False
    assert short_run(minitrain)["found"] is True
    report = minitrain("train", EXPERIMENT, *SHORT).stdout
    assert "\nseconds        found in the store; its training took " in report
    assert "tokens/second" not in report


def test_the_report_ends_with_the_smoke_test(minitrain: Call) -> None:
    values = short_run(minitrain)
    assert values["prompt"] == generate.SMOKE_TEST
    model = read_run(Path(str(values["run_dir"]))).model()
    assert values["completion"] == generate.complete(model, generate.SMOKE_TEST)
    report = minitrain("train", EXPERIMENT, *SHORT).stdout
    assert f"completion     {values['prompt']}{values['completion']}\n" in report


def test_a_terminal_gets_a_progress_bar(tmp_path: Path) -> None:
    primary, secondary = pty.openpty()
    termios.tcsetwinsize(secondary, (24, 80))
    done = subprocess.Popen(
        [sys.executable, "-m", "minitrain", "train", EXPERIMENT, *SHORT, "--json"],
        env={**os.environ, "MINITRAIN_STORE": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=secondary,
    )
    out, _ = done.communicate()
    shown = os.read(primary, 100_000)
    os.close(secondary)
    os.close(primary)
    assert b"/12 " in shown
    assert json.loads(out)["steps"] == 12


def test_variant_and_set_decide_the_run(minitrain: Call) -> None:
    healthy = short_run(minitrain)
    broken = short_run(minitrain, "--variant", "break")
    by_hand = short_run(minitrain, "--set", "optimizer.weight_decay=0.0")
    assert healthy["fingerprint"] != broken["fingerprint"]
    assert broken["run_dir"] == by_hand["run_dir"]


def test_a_link_is_left_and_moved_but_no_file_is_overwritten(
    minitrain: Call, tmp_path: Path
) -> None:
    link = tmp_path / "experiments" / "18-control"
    for variant in ("control", "break"):
        values = short_run(minitrain, "--variant", variant, "--link", str(link))
        assert link.resolve() == Path(str(values["run_dir"])).resolve()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    done = minitrain("train", EXPERIMENT, *SHORT, "--link", str(precious))
    assert done.returncode == 2
    assert precious.read_text() == "mine"


def test_nothing_is_trained_for_a_link_that_cannot_be_left(minitrain: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    store = tmp_path / "runs"
    for link in ("/proc/link", str(tmp_path / "file" / "x"), "x" * 300, str(store / "0123")):
        done = minitrain("train", EXPERIMENT, *SHORT, "--link", link)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"minitrain: --link {link}: ")
        assert done.stderr.count("\n") == 1
    assert not store.exists()


def test_compare_writes_one_page_that_needs_no_network(minitrain: Call, tmp_path: Path) -> None:
    runs = [str(short_run(minitrain, "--variant", v)["run_dir"]) for v in ("control", "break")]
    page = tmp_path / "out" / "dashboard-compare.html"
    done = minitrain("compare", *runs, "-o", str(page))
    assert done.returncode == 0, done.stderr
    html = page.read_text(encoding="utf-8")
    assert '<script src="http' not in html
    assert "<link" not in html
    for name in ("train_loss", "val_loss", "weight_norms", "learning_rate", "accuracy.val"):
        assert name in html
    assert "optimizer.weight_decay" in html
    assert "schedule.final_fraction" not in html


def test_compare_takes_the_run_json_that_a_page_saves(minitrain: Call, tmp_path: Path) -> None:
    folder = str(short_run(minitrain, "--variant", "control")["run_dir"])
    alone = tmp_path / "run.json"
    alone.write_bytes((Path(folder) / "run.json").read_bytes())
    page = tmp_path / "page.html"
    done = minitrain("compare", folder, str(alone), "-o", str(page))
    assert done.returncode == 0, done.stderr
    assert str(alone) in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "not JSON"),
        (lambda text: text.replace('\n "steps": ', '\n "steps": 1'), "steps"),
        (lambda text: text.replace('"form"', '"forms"'), "parts"),
        (lambda text: text.replace('"adamw"', '"adams"'), "optimizer.name"),
        (lambda _text: "[]", "run"),
    ],
)
def test_a_run_json_that_is_none_is_one_line(
    minitrain: Call, tmp_path: Path, damage: Callable[[str], str], said: str
) -> None:
    folder = str(short_run(minitrain, "--variant", "control")["run_dir"])
    alone = tmp_path / "run.json"
    text = (Path(folder) / "run.json").read_text(encoding="utf-8")
    alone.write_text(damage(text), encoding="utf-8")
    done = minitrain("compare", folder, str(alone), "-o", str(tmp_path / "page.html"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"minitrain: {alone}: not a run: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


def test_a_page_says_what_it_is_and_shows_names_as_they_are(
    minitrain: Call, tmp_path: Path
) -> None:
    values = [short_run(minitrain, "--variant", v) for v in ("control", "break")]
    link = tmp_path / "<a href='http:evil'>click<"
    link.symlink_to(str(values[0]["run_dir"]))
    page = tmp_path / "page.html"
    done = minitrain("compare", str(link), str(values[1]["run_dir"]), "-o", str(page))
    assert done.returncode == 0, done.stderr
    html = page.read_text(encoding="utf-8")
    assert html.startswith('<!doctype html>\n<html lang="en">')
    assert '<meta name="viewport"' in html
    title = html[html.index("<title>") + 7 : html.index("</title>")]
    assert "&lt;a href=&#x27;http:evil&#x27;&gt;click&lt; [" in title
    assert f"[{str(values[1]['fingerprint'])[:12]}]" in title
    assert "<a href='http:evil" not in html


@pytest.mark.usefixtures("train_here")
def test_a_sweep_is_every_variant_grid_point_and_seed(minitrain: Call, grid: str) -> None:
    done = minitrain("sweep", grid, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    values = json.loads(done.stdout)
    places = [(r["variant"], r["optimizer.weight_decay"], r["seed"]) for r in values["runs"]]
    assert places == [("sweep", decay, seed) for decay in (0.0, 1.0) for seed in (1, 2, 3)]
    assert values["files"] == []
    row = values["runs"][0]
    assert (row["experiment"], row["steps"], row["optimizer.gradient_clip"]) == (
        "99-grid",
        12,
        None,
    )
    trained = minitrain("train", grid, "--variant=sweep", "--set=seed=2", "--json")
    assert json.loads(trained.stdout)["fingerprint"] == values["runs"][4]["fingerprint"]


@pytest.mark.usefixtures("train_here")
def test_options_of_a_sweep_choose_its_points(minitrain: Call, grid: str) -> None:
    options = ("--variant=other", "--seeds=7,8", "--set=steps=10", "--grid=batch_size=2,4")
    rows = json.loads(minitrain("sweep", grid, *options, "--json").stdout)["runs"]
    assert {(r["variant"], r["optimizer.name"], r["steps"]) for r in rows} == {
        ("other", "adam", 10)
    }
    assert [(r["optimizer.weight_decay"], r["batch_size"], r["seed"]) for r in rows] == [
        (decay, batch, seed) for decay in (0.0, 1.0) for batch in (2, 4) for seed in (7, 8)
    ]


@pytest.mark.usefixtures("train_here")
def test_values_of_a_grid_may_be_lists(minitrain: Call, grid: str) -> None:
    betas = "--grid=optimizer.betas=[0.9, 0.95],[0.9, 0.999]"
    rows = json.loads(minitrain("sweep", grid, betas, "--seeds=1", "--json").stdout)["runs"]
    assert [row["optimizer.betas.1"] for row in rows] == [0.95, 0.999, 0.95, 0.999]


@pytest.mark.usefixtures("train_here")
def test_several_experiments_are_one_sweep(minitrain: Call, grid: str, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    second = write_grid(tmp_path / "more", steps=14)
    rows = json.loads(minitrain("sweep", grid, second, "--seeds=1", "--json").stdout)["runs"]
    assert [row["steps"] for row in rows] == [12, 12, 14, 14]


@pytest.mark.usefixtures("train_here")
def test_without_a_table_a_sweep_prints_a_line_for_each_point(minitrain: Call, grid: str) -> None:
    head, *lines = minitrain("sweep", grid).stdout.splitlines()
    names = ("train_loss", "val_loss", "test_loss", "test_accuracy")
    assert head.split() == ["optimizer.weight_decay", "runs", *names]
    assert [line.split()[:2] for line in lines] == [["0.0", "3"], ["1.0", "3"]]
    assert all("…" in line for line in lines)


@pytest.mark.usefixtures("train_here")
@pytest.mark.parametrize("name", ["table", "table.csv", "new/table.parquet"])
def test_a_sweep_writes_its_table_twice(
    minitrain: Call, grid: str, tmp_path: Path, name: str
) -> None:
    done = minitrain("sweep", grid, "-o", str(tmp_path / name))
    parquet, csv = map(Path, done.stdout.split())
    assert parquet == (tmp_path / name).with_suffix(".parquet")
    frame = pd.read_parquet(parquet)
    assert frame["seed"].tolist() == [1, 2, 3, 1, 2, 3]
    assert csv.read_text(encoding="utf-8").count("\n") == 7
    rows = json.loads(minitrain("sweep", grid, "--json").stdout)["runs"]
    assert list(frame) == list(rows[0])
    assert frame["test_loss"].tolist() == [row["test_loss"] for row in rows]


@pytest.mark.usefixtures("train_here")
def test_a_run_that_diverges_is_a_row_with_missing_values(minitrain: Call, grid: str) -> None:
    rate = "--grid=optimizer.learning_rate=1e-9,1e6"
    wild = (rate, "--grid=optimizer.weight_decay=1e6", "--seeds=1", "--set=steps=30")
    tame, diverged = json.loads(minitrain("sweep", grid, *wild, "--json").stdout)["runs"]
    assert (tame["diverged"], diverged["diverged"]) == (False, True)
    assert diverged["steps_taken"] < 30
    assert diverged["val_loss"] is diverged["test_loss"] is diverged["completion"] is None
    assert minitrain("sweep", grid, *wild).returncode == 0


def test_nothing_is_trained_for_a_table_that_cannot_be_written(
    minitrain: Call, grid: str, tmp_path: Path
) -> None:
    (tmp_path / "taken.csv").mkdir()
    bad = ("/proc/table", str(tmp_path), str(tmp_path / "taken"), "/dev/null", "x" * 300)
    for output in bad:
        done = minitrain("sweep", grid, "-o", output)
        assert done.returncode == 2, output
        assert done.stderr.startswith(f"minitrain: -o {output}: ")
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


class Sweep:
    """`minitrain sweep` in processes of its own, as a terminal would start it."""

    def __init__(self, experiment: str, folder: Path):
        self.store = folder / "runs"
        self.primary, secondary = pty.openpty()
        termios.tcsetwinsize(secondary, (24, 80))
        # In the background of a script Ctrl-C is ignored, and children inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minitrain", "sweep", experiment, "-o", folder / "table"],
            env={**os.environ, "MINITRAIN_STORE": str(self.store), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=secondary,
            start_new_session=True,
        )
        signal.signal(signal.SIGINT, before)
        os.close(secondary)
        self.shown = b""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the other end was closed
            while part := os.read(self.primary, 10_000):
                self.shown += part

    def interrupt_with(self, number: signal.Signals) -> None:
        """Send a signal once a run has finished and another has a checkpoint.

        Ctrl-C goes to every process of the terminal, SIGKILL to the one that was started.
        """
        while not (self.finished() and list(self.store.glob(".partial/[0-9a-f]*"))):
            assert self.process.poll() is None, self.shown
            time.sleep(0.01)
        self.children = psutil.Process(self.process.pid).children(recursive=True)
        assert len(self.children) >= 2
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def finished(self) -> list[Path]:
        return list(self.store.glob("[0-9a-f]*/SHA256SUMS"))

    def wait(self) -> int:
        status = self.process.wait(timeout=300)
        self.reader.join()
        os.close(self.primary)
        return status


def test_ctrl_c_ends_a_sweep_with_one_line_and_all_its_processes(tmp_path: Path) -> None:
    begun = Sweep(write_grid(tmp_path, steps=4000), tmp_path)
    begun.interrupt_with(signal.SIGINT)
    assert begun.wait() == 130
    assert not psutil.wait_procs(begun.children, timeout=60)[1]
    assert b"Traceback" not in begun.shown
    assert b"/6 runs" in begun.shown
    assert begun.shown.split(b"\r")[-2].strip() == (
        b"minitrain: interrupted; run the same command again to resume"
    )
    assert 1 <= len(begun.finished()) < 6
    assert not list(tmp_path.glob("table*"))


def test_a_killed_sweep_leaves_no_process_and_resumes_to_the_same_table(tmp_path: Path) -> None:
    experiment = write_grid(tmp_path, steps=1000)
    killed = Sweep(experiment, tmp_path)
    killed.interrupt_with(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not psutil.wait_procs(killed.children, timeout=60)[1]
    assert b"Traceback" not in killed.shown
    times = {path: path.stat().st_mtime_ns for path in killed.finished()}
    assert 1 <= len(times) < 6

    resumed = Sweep(experiment, tmp_path)
    assert resumed.wait() == 0, resumed.shown
    assert times == {path: path.stat().st_mtime_ns for path in times}
    frame = pd.read_parquet(tmp_path / "table.parquet")
    csv = pd.read_csv(
        tmp_path / "table.csv",
        dtype=frame.dtypes.to_dict(),
        keep_default_na=False,
        na_values=[""],
    )
    pd.testing.assert_frame_equal(csv, frame, check_exact=True)
    configs = [point.config for point in experiments.load(experiment).points()]
    alone = [loop.train(loop.start(config)).fingerprint() for config in configs]
    assert frame["fingerprint"].tolist() == alone


def test_two_runs_are_explained(minitrain: Call) -> None:
    one, other = (short_run(minitrain, f"--set=seed={seed}") for seed in (42, 43))
    said = minitrain("explain", str(one["run_dir"]), str(other["run_dir"])).stdout.splitlines()
    name = f"{str(one['fingerprint'])[:12]}  "
    assert said[0].startswith(name)
    assert ", with " in said[0]
    assert said[1].strip() == one["run_dir"]
    assert said[4] == "seed  42 | 43"
    assert said[5].startswith("other fingerprint; they part by step 0: val_loss ")
    same = minitrain("explain", str(one["run_dir"]), str(one["run_dir"])).stdout
    assert same.endswith("the same run\n")
    found = json.loads(
        minitrain("explain", str(one["run_dir"]), str(other["run_dir"]), "--json").stdout
    )
    assert found["config"] == {"seed": [42, 43]}
    assert found["runs"][1]["fingerprint"] == other["fingerprint"]


def test_a_run_of_the_book_can_be_called_by_its_name(minitrain: Call) -> None:
    """As `fingerprints.lock` has it; one that is not there yet says how it comes to be."""
    done = minitrain("generate", f"{EXPERIMENT} control seed=42", "go every day she ")
    assert done.returncode == 2
    assert done.stderr == (
        f"minitrain: {EXPERIMENT} control seed=42: not trained yet: minitrain sweep {EXPERIMENT}\n"
    )
    point = next(p for p in experiments.load(EXPERIMENT).points() if p.variant == "control")
    run = Store().get(point.recipe)
    name = f"{EXPERIMENT} control seed={point.seed}"
    found = json.loads(minitrain("explain", name, str(run.path), "--json").stdout)
    assert found["runs"][0]["name"] == name
    same = [p for p in fingerprints.points() if p.recipe == point.recipe]
    assert found["runs"][1]["name"] in map(fingerprints.label, same)


def test_a_run_completes_a_prompt(minitrain: Call) -> None:
    run = str(short_run(minitrain)["run_dir"])
    prompt = "go every day she "
    model = read_run(Path(run)).model()
    greedy = minitrain("generate", run, prompt)
    assert (greedy.returncode, greedy.stderr) == (0, "")
    assert greedy.stdout == f"{prompt}{generate.complete(model, prompt)}\n"
    three = ("--temperature", "1.5", "--seed", "3", "--samples", "3")
    lines = minitrain("generate", run, prompt, *three).stdout.splitlines()
    assert len(set(lines)) == 3
    assert all(line.startswith(prompt) for line in lines)
    values = json.loads(minitrain("generate", run, prompt, *three, "--json").stdout)
    assert [prompt + completion for completion in values["completions"]] == lines
    assert (values["seed"], values["temperature"], values["prompt"]) == (3, 1.5, prompt)
    assert minitrain("generate", run, prompt, *three).stdout.splitlines() == lines
    other = minitrain("generate", run, prompt, "--temperature=1.5", "--seed=4").stdout
    assert other.splitlines() != lines[:1]


BAD_GENERATION = {
    "an empty prompt": ([""], "prompt: expected at least one character (got '')"),
    "an unknown character": (["Go"], "prompt: not in the vocabulary: 'G' (got 'Go')"),
    "a prompt that is too long": (["a" * 33], "prompt: 33 characters do not fit"),
    "a negative temperature": (
        ["a", "--temperature=-1"],
        "temperature: expected 0 or more (got -1",
    ),
    "no temperature at all": (
        ["a", "--temperature=nan"],
        "temperature: expected 0 or more (got nan",
    ),
    "an endless temperature": (
        ["a", "--temperature=inf"],
        "temperature: expected 0 or more (got inf",
    ),
    "a temperature in words": (
        ["a", "--temperature=hot"],
        "--temperature 'hot': expected a number",
    ),
    "a negative seed": (["a", "--seed=-1"], "--seed '-1': expected a whole number"),
    "a seed that is too large": (["a", "--seed=4294967296"], "--seed '4294967296': expected"),
    "no sample": (["a", "--samples=0"], "--samples '0': expected a whole number from 1 to"),
    "samples that are all equal": (["a", "--samples=2"], "--samples 2: at temperature 0"),
}


@pytest.mark.parametrize(("arguments", "line"), BAD_GENERATION.values(), ids=BAD_GENERATION.keys())
def test_a_bad_generation_is_one_line_and_status_2(
    minitrain: Call, arguments: list[str], line: str
) -> None:
    done = minitrain("generate", str(short_run(minitrain)["run_dir"]), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"minitrain: {line}")
    assert done.stderr.count("\n") == 1


def test_a_run_may_be_named_by_its_address(minitrain: Call, tmp_path: Path) -> None:
    values = short_run(minitrain)
    done = minitrain("verify", Path(str(values["run_dir"])).name)
    assert done.returncode == 0
    assert done.stdout == (
        f"holds: {values['fingerprint']}  (trained by kernel, again by pytorch)\n"
    )
    by_kernel = minitrain("verify", str(values["run_dir"]), "--engine=kernel", "--json")
    assert json.loads(by_kernel.stdout)["verified_by"] == "kernel"


def test_verify_says_when_a_fingerprint_does_not_hold(
    minitrain: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = short_run(minitrain)
    start = loop.start
    monkeypatch.setattr(
        loop, "start", lambda config, device: start(patched(config, {"seed": 1}), device)
    )
    done = minitrain("verify", str(values["run_dir"]))
    assert done.returncode == 1
    assert done.stdout.startswith(f"differs: {values['fingerprint']} in {values['run_dir']}\n")
    assert "\n  first: step 0, train_loss " in done.stdout
    assert json.loads(minitrain("verify", str(values["run_dir"]), "--json").stdout)["parting"]


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of its own, with two experiments of six and two runs, no lock file yet."""
    folder = tmp_path / "course" / "experiments"
    folder.mkdir(parents=True)
    write_grid(folder, steps=12)
    text = EXPERIMENT_WITH_GRID.format(steps=14).replace("99-grid", "98-other")
    (folder / "98-other").mkdir()
    (folder / "98-other" / "config.yaml").write_text(text.replace("[1, 2, 3]", "[7]"))
    monkeypatch.chdir(folder.parent)
    return folder


@pytest.mark.usefixtures("train_here")
def test_the_lock_file_is_written_compared_and_verified(minitrain: Call, course: Path) -> None:
    lock = course / "fingerprints.lock"
    for command in (["fingerprints"], ["verify", "--all"]):
        none = minitrain(*command)
        assert (none.returncode, none.stdout) == (2, "")
        assert none.stderr.startswith(f"minitrain: {lock}: No such file")

    assert minitrain("fingerprints", "--write").stdout == f"{lock}: 8 runs\n"
    names = [line[66:] for line in lock.read_text().splitlines() if line[0] != "#"]
    assert names[0] == "98-other sweep optimizer.weight_decay=0.0 seed=7"
    assert names[-1] == "99-grid sweep optimizer.weight_decay=1.0 seed=3"
    assert minitrain("fingerprints").stdout == "equal: 8 of 8\n"
    assert minitrain("verify", "--all").stdout == "equal: 8 of 8\n"
    assert minitrain("verify", "--experiment=99-grid").stdout == "equal: 6 of 6\n"
    assert minitrain("verify", "--sample=3").stdout == "equal: 3 of 3\n"
    assert minitrain("verify", "--sample=100").stdout == "equal: 8 of 8\n"

    head, *rest = lock.read_text().splitlines(keepends=True)
    right = rest[3]
    rest[3] = "0" * 64 + right[64:]
    lock.write_text("".join([head, *rest]))
    compared = minitrain("fingerprints")
    assert compared.returncode == 2
    assert compared.stderr.startswith(
        f"minitrain: {names[1]}: fingerprint {right[:12]}, expected 000000000000 ({lock}); "
    )
    verified = minitrain("verify", "--all")
    assert verified.returncode == 1
    assert verified.stdout.splitlines()[0].startswith(
        f"differs: {names[1]}: {right[:12]}, expected 000000000000"
    )
    assert verified.stdout.splitlines()[1].startswith("equal: 7 of 8, different: 1; ")
    values = json.loads(minitrain("verify", "--all", "--json").stdout)
    assert (values["equal"], values["runs"]) == (7, 8)
    assert values["different"][0]["run"] == names[1]


@pytest.mark.usefixtures("train_here")
def test_verify_says_where_a_run_left_the_one_in_the_store(
    minitrain: Call, course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minitrain("fingerprints", "--write")
    # This stands for another machine; on this one it would be edited code, and be refused.
    for check in ("verify", "verify_code", "verify_step"):
        monkeypatch.setattr(code, check, lambda: None)
    rounded = loop.round_to_grid
    monkeypatch.setattr(loop, "round_to_grid", lambda values, bits: rounded(values, bits - 1))
    done = minitrain("verify", "--experiment=98-other")
    assert done.returncode == 1
    first, second, last = done.stdout.splitlines()
    assert "; first: step 0, " in first
    assert "seed=7" in second
    assert last.startswith("equal: 0 of 2, different: 2; ")


def test_without_a_cuda_device_its_name_is_one_line(
    minitrain: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for command in (["train", EXPERIMENT], ["verify", "--all"]):
        done = minitrain(*command, "--device=cuda")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("minitrain: --device cuda: PyTorch ")
        assert done.stderr.endswith(" finds no CUDA device on this machine\n")


def test_bad_input_in_a_process_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "minitrain", "train", "nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "minitrain: nowhere/config.yaml: no such file\n"


BAD = {
    "an unknown key": (["train", EXPERIMENT, "--set", "optimizer.weigh_decay=1"], "weigh_decay"),
    "a wrong type": (["train", EXPERIMENT, "--set", "steps=many"], "steps"),
    "an impossible value": (["train", EXPERIMENT, "--set", "batch_size=0"], "batch_size"),
    "no value": (["train", EXPERIMENT, "--set", "steps"], "steps"),
    "a missing experiment": (["train", "nowhere"], "nowhere"),
    "an unknown variant": (["train", EXPERIMENT, "--variant", "brake"], "brake"),
    "an unknown option": (["train", EXPERIMENT, "--fast"], "--fast"),
    "a missing argument": (["train"], "EXPERIMENT"),
    "nothing to sweep": (["sweep"], "EXPERIMENT"),
    "an experiment that is not there": (["sweep", EXPERIMENT, "nowhere"], "nowhere"),
    "a seed in words": (["sweep", EXPERIMENT, "--seeds", "42,x"], "--seeds '42,x'"),
    "a seed below 0": (["sweep", EXPERIMENT, "--seeds", "-1"], "seed: "),
    "a seed twice": (["sweep", EXPERIMENT, "--seeds", "1,1"], "--seeds: is there twice (got 1)"),
    "a cluster at no address": (
        ["sweep", EXPERIMENT, "--on", "127.0.0.1"],
        "--on 127.0.0.1: expected an address, such as tcp://host:8786",
    ),
    "a grid of no key": (["sweep", EXPERIMENT, "--grid", "=1"], "--grid '=1'"),
    "a grid of no value": (["sweep", EXPERIMENT, "--grid", "steps="], "--grid: steps: expected"),
    "a grid that is not YAML": (["sweep", EXPERIMENT, "--grid", "steps=["], "not YAML"),
    "a grid of an unknown key": (["sweep", EXPERIMENT, "--grid", "stpes=1"], "stpes: unknown key"),
    "a grid of seeds": (["sweep", EXPERIMENT, "--grid", "seed=1"], "--grid: seed"),
    "a seed that is set": (["sweep", EXPERIMENT, "--set", "seed=1"], "--set: seed"),
    "a variant that is not there": (["sweep", EXPERIMENT, "--variant", "brake"], "brake"),
    "a key that is set twice": (
        ["train", EXPERIMENT, "--set=steps=19", "--set=steps=18"],
        "--set steps: is there twice",
    ),
    "a key that is set in its section too": (
        ["train", EXPERIMENT, "--set=model.d_model=8", "--set=model={d_model: 16}"],
        "--set model.d_model: is there twice",
    ),
    "a variant twice": (
        ["sweep", EXPERIMENT, "--variant=control", "--variant=control"],
        "--variant control: is there twice",
    ),
    "an axis twice": (
        ["sweep", EXPERIMENT, "--grid=steps=5,6", "--grid=steps=7"],
        "--grid steps: is there twice",
    ),
    "an experiment twice": (
        ["sweep", EXPERIMENT, f"experiments/{EXPERIMENT}"],
        f"EXPERIMENT experiments/{EXPERIMENT}: is there twice",
    ),
    "a long name of a run": (["verify", "x" * 300], "no such run"),
    "a long path of a run": (["generate", "y/" * 3000, "go "], "no such run"),
    "no name of a run": (["verify", ""], "verify: name one RUN"),
    "a run and a list": (["verify", "a", "--all"], "verify: name one RUN, or say --all"),
    "nothing to verify": (["verify"], "verify: name one RUN, or say --all"),
    "no run to verify": (["verify", "--sample=0"], "--sample '0'"),
    "another engine": (
        ["verify", "--all", "--engine=jax"],
        "--engine 'jax': expected pytorch or kernel",
    ),
    "another device": (["train", EXPERIMENT, "--device=tpu"], "--device 'tpu': expected cpu or"),
    "an experiment of nobody": (
        ["verify", "--experiment=nowhere"],
        "--experiment nowhere: is not one of 18-decay-masks, ",
    ),
    "a name that clears the screen": (["verify", "a\x1b[2J"], "a\\x1b[2J: no such run"),
    "generation from nothing": (["generate", "nowhere", "go "], "nowhere: no such run"),
    "no prompt": (["generate", "nowhere"], "PROMPT"),
    "an unknown command": (["trian"], "trian"),
    "a folder that is no run": (["verify", "src"], "src"),
    "a run that is not there": (["compare", "a", "b"], "a"),
}


@pytest.mark.parametrize(("arguments", "named"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line_and_status_2(
    minitrain: Call, arguments: list[str], named: str
) -> None:
    done = minitrain(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("minitrain: ")
    assert done.stderr.count("\n") == 1
    assert named in done.stderr


def test_comparing_a_run_with_itself_is_refused(minitrain: Call) -> None:
    run = str(short_run(minitrain)["run_dir"])
    assert minitrain("compare", run, run).returncode == 2


def test_a_page_that_cannot_be_written_is_one_line(minitrain: Call) -> None:
    runs = [str(short_run(minitrain, "--variant", v)["run_dir"]) for v in ("control", "break")]
    for output in ("/proc/dashboard.html", ".", "/", "", "x" * 300, "y/" * 3000):
        done = minitrain("compare", *runs, "-o", output)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("minitrain: -o ")
        assert done.stderr.count("\n") == 1
        assert len(done.stderr) < 1100


def test_a_page_goes_through_links_and_into_pipes(minitrain: Call, tmp_path: Path) -> None:
    runs = [str(short_run(minitrain, "--variant", v)["run_dir"]) for v in ("control", "break")]
    page, link, pipe = tmp_path / "page.html", tmp_path / "link.html", tmp_path / "pipe"
    page.write_text("old")
    link.symlink_to(page)
    assert minitrain("compare", *runs, "-o", str(link)).returncode == 0
    assert link.is_symlink()
    assert page.read_text().startswith("<!doctype html>")

    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert minitrain("compare", *runs, "-o", str(pipe)).returncode == 0
    reader.join()
    assert pipe.is_fifo()
    assert read == [page.read_text()]


def test_a_store_that_cannot_be_written_is_one_line(
    minitrain: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINITRAIN_STORE", "/proc/runs")
    done = minitrain("train", EXPERIMENT, *SHORT)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "/proc/runs" in done.stderr


def test_a_run_that_diverges_is_reported_and_plotted(minitrain: Call, tmp_path: Path) -> None:
    wild = ["--set", "optimizer.learning_rate=1e6", "--set", "optimizer.weight_decay=1e6"]
    values = short_run(minitrain, *wild)
    assert values["diverged"] is True
    report = minitrain("train", EXPERIMENT, *SHORT, *wild)
    assert report.returncode == 0
    assert "diverged" in report.stdout
    healthy = str(short_run(minitrain)["run_dir"])
    page = tmp_path / "page.html"
    assert minitrain("compare", healthy, str(values["run_dir"]), "-o", str(page)).returncode == 0
    assert "diverged" in page.read_text(encoding="utf-8")


def test_a_run_that_overflows_in_its_last_step_diverged_at_the_end(minitrain: Call) -> None:
    last = {
        "steps": 1,
        "schedule.warmup_steps": 0,
        "optimizer.learning_rate": 1e6,
        "optimizer.weight_decay": 1e6,
        "arithmetic.dtype": "float32",
    }
    small = [option for option in SHORT if option.split("=")[1] not in last]
    wild = [f"--set={key}={value}" for key, value in last.items()]
    values = json.loads(minitrain("train", EXPERIMENT, *small, *wild, "--json").stdout)
    assert (values["diverged"], values["val_loss"], values["steps"]) == (True, None, 1)
    report = minitrain("train", EXPERIMENT, *small, *wild).stdout
    assert report.startswith("steps          1 (diverged at the end)\n")
    rest = wild[:1] + wild[1:]
    (row,) = json.loads(
        minitrain(
            "sweep", EXPERIMENT, "--variant=control", "--seeds=42", *small, *rest, "--json"
        ).stdout
    )["runs"]
    assert (row["diverged"], row["val_loss"], row["test_accuracy"]) == (True, None, None)


def process(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A shell's line; `$MT` is `python -m minitrain`."""
    environment = {"MINITRAIN_STORE": str(folder / "runs"), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        ["bash", "-c", command.replace("$MT", f"{sys.executable} -m minitrain")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


TRAIN = " ".join(["$MT train", EXPERIMENT, *SHORT])
NO_SUCH = "$MT verify nowhere"
STREAMS = {
    "stderr is closed": (f"{TRAIN} --json 2>&-", 0, "{", ""),
    "stderr is closed and the input bad": (f"{NO_SUCH} 2>&-", 2, "", ""),
    "everything is closed": (f"{TRAIN} <&- >&- 2>&-", 0, "", ""),
    "stdout is full": (
        f"{TRAIN} > /dev/full",
        2,
        "",
        "minitrain: standard output: cannot be written: No space left on device\n",
    ),
    "stderr is full": (f"{NO_SUCH} 2> /dev/full", 2, "", ""),
    "nobody reads the error": (f"{NO_SUCH} 2>&1 | true; exit ${{PIPESTATUS[0]}}", 2, "", ""),
    "nobody reads the report": (f"{TRAIN} | true; exit ${{PIPESTATUS[0]}}", 1, "", ""),
}


@pytest.mark.parametrize(("command", "status", "out", "err"), STREAMS.values(), ids=STREAMS)
def test_a_stream_that_cannot_be_written_gives_no_traceback(
    command: str, status: int, out: str, err: str, tmp_path: Path
) -> None:
    done = process(command, tmp_path)
    assert (done.returncode, done.stderr) == (status, err)
    assert done.stdout.startswith(out)
    assert bool(done.stdout) == bool(out)
    if "train" in command:
        assert list((tmp_path / "runs").glob("*/run.json"))


def test_a_terminal_that_knows_few_characters_gets_others_escaped(tmp_path: Path) -> None:
    sweep = f"$MT sweep {EXPERIMENT} --variant=control --seeds=42,43 {' '.join(SHORT)}"
    done = process(sweep, tmp_path, PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2026" in done.stdout


def test_a_run_too_large_for_the_memory_is_one_line(
    minitrain: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] can't allocate memory: you tried")

    monkeypatch.setattr(Store, "get", full)
    done = minitrain("train", EXPERIMENT, *SHORT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("minitrain: not enough memory; ")

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Store, "get", broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        minitrain("train", EXPERIMENT, *SHORT)


def test_a_message_is_not_longer_than_a_screen(minitrain: Call) -> None:
    done = minitrain("generate", "nowhere", "a", f"--seed={'9' * 10_000}")
    assert done.stderr.startswith("minitrain: --seed '999")
    assert len(done.stderr) < 1100


@pytest.mark.parametrize("decay", ["0.1", "0.0"])
def test_just_trains_as_the_source_shows(decay: str) -> None:
    just = Path(sys.executable).with_name("just")
    done = subprocess.run(
        [just, "--dry-run", "phase-18-train"],
        env={**os.environ, "seed": "42", "weight_decay": decay},
        capture_output=True,
        text=True,
        check=True,
    )
    link = "experiments/18-break-wd0" if decay == "0.0" else "experiments/18-control"
    assert f"--set seed=42 --set optimizer.weight_decay={decay}" in done.stderr
    assert done.stderr.rstrip().endswith(f"--link {link}")
