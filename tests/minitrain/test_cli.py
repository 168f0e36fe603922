"""The command line as a user meets it, in processes of its own."""

import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from minitrain import cli
from minitrain.config import patched

SHORT = (
    "--set=steps=12",
    "--set=schedule.warmup_steps=2",
    "--set=batch_size=4",
    "--set=model.n_layer=1",
    "--set=model.n_head=2",
    "--set=model.d_model=8",
)
EXPERIMENT = "18-break-weight-decay"
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
            cli.main()
            status: int | str | None = 0
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(status or 0), *printed)

    return call


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
    values = short_run(minitrain)
    report = minitrain("train", EXPERIMENT, *SHORT).stdout
    for word in ("steps", "tokens seen", "seconds", "tokens/second", "train loss", "val loss"):
        assert word in report
    assert str(values["fingerprint"]) in report
    assert str(values["run_dir"]) in report


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


def test_a_run_may_be_named_by_its_address(minitrain: Call, tmp_path: Path) -> None:
    values = short_run(minitrain)
    done = minitrain("verify", Path(str(values["run_dir"])).name)
    assert done.returncode == 0
    assert done.stdout == f"holds: {values['fingerprint']}\n"


def test_verify_says_when_a_fingerprint_does_not_hold(
    minitrain: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = short_run(minitrain)
    start = cli.start
    monkeypatch.setattr(cli, "start", lambda config: start(patched(config, {"seed": 1})))
    done = minitrain("verify", str(values["run_dir"]))
    assert done.returncode == 1
    assert "differs" in done.stdout


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
    "a missing argument": (["train"], "experiment"),
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
    done = minitrain("compare", *runs, "-o", "/proc/dashboard.html")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


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
