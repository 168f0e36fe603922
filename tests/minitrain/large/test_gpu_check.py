import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("seconds", ["300", "0"])
def test_the_script_for_a_card_takes_its_whole_path_on_a_cpu_and_keeps_to_its_time(
    tmp_path: Path, seconds: str
) -> None:
    output = tmp_path / "check.json"
    command = [sys.executable, "tools/gpu_check.py", str(output), "--size", "toy"]
    command += ["--seconds", seconds]
    done = subprocess.run(
        [*command, "--steps", "5", "--seeds", "2"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert found["tokens"]["vocabulary"] == 400
    if seconds == "0":
        assert found["speed"]["cut"] == found["weight_decay"]["cut"] == "out of time"
        return
    assert found["speed"]["ratio"] > 0
    runs = found["weight_decay"]["runs"]
    assert len(runs) == 2 * 9
    assert {run["seed"] for run in runs} == {0, 1}
    assert "incomplete_seed" not in found["weight_decay"]
    by_name = {run["name"]: run for run in runs if run["seed"] == 0}
    assert by_name["repeated, adamw D=2"]["total_decay"] == pytest.approx(2)
    assert by_name["repeated, adamw 0"]["seen"] == 10
    assert by_name["adam-l2 0.1"]["optimizer"] == "adam"
    norms = [by_name[f"adamw {value}"]["matrices"] for value in ("0", "1", "10", "30")]
    assert norms == sorted(norms, reverse=True)
