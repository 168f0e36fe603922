"""The table has a row for each run, a column for each value, and says the same in both formats."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from minitrain.common.files import sha256
from minitrain.runs import table
from minitrain.runs.experiments import Point
from minitrain.runs.store import Run, Store
from minitrain.training import generate, metrics
from minitrain.training.config import Config, flat, patched

MakeConfig = Callable[..., Config]

WILD = {"optimizer.learning_rate": 1e6, "optimizer.weight_decay": 1e6, "steps": 20}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, small: MakeConfig) -> list[Run]:
    """Two learning rates, two seeds each; one with every optional value; one that diverged."""
    store = Store(tmp_path_factory.mktemp("runs"))
    pairs = [
        small(seed=seed, optimizer={"learning_rate": rate})
        for rate in (0.01, 0.02)
        for seed in (1, 2)
    ]
    full = patched(
        small(),
        {
            "optimizer.gradient_clip": 0.1,
            "arithmetic": {"grid_bits": None, "autocast": "bfloat16", "loss_scale": 1024.0},
        },
    )
    runs = [store.get(config) for config in (*pairs, full, patched(small(), WILD))]
    assert runs[-1].diverged
    return runs


@pytest.fixture(scope="module")
def points(runs: list[Run]) -> list[Point]:
    names = ["plain", "plain", "plain", "plain", "NA", "null"]  # words that a CSV could mistake
    return [
        Point("99-made-up", name, {}, run.config.seed, run.config)
        for name, run in zip(names, runs, strict=True)
    ]


@pytest.fixture(scope="module")
def frame(runs: list[Run], points: list[Point]) -> pd.DataFrame:
    return table.of(runs, points)


def values(row: "pd.Series[Any]") -> dict[str, Any]:
    return {key: None if pd.isna(value) else value for key, value in row.items()}


def test_a_row_is_the_config_by_dotted_name(frame: pd.DataFrame, runs: list[Run]) -> None:
    for (_, row), run in zip(frame.iterrows(), runs, strict=True):
        config = flat(run.config)
        betas = config.pop("optimizer.betas")
        config |= {f"optimizer.betas.{i}": beta for i, beta in enumerate(betas)}
        assert {key: values(row)[key] for key in config} == config


def test_every_leaf_of_a_config_is_a_column(frame: pd.DataFrame) -> None:
    """Of a type that can say "missing" where the config can."""
    leaves = {key for key in flat(Config()) if key != "optimizer.betas"}
    assert leaves <= set(frame)
    assert frame["arithmetic.grid_bits"].dtype == "Int64"
    assert frame["optimizer.gradient_clip"].dtype == "float64"
    assert frame["steps"].dtype == "int64"
    assert frame["model.qkv_bias"].dtype == "bool"
    assert "object" not in frame.dtypes.astype(str).tolist()


def test_a_row_has_the_results_of_its_run(
    frame: pd.DataFrame, runs: list[Run], points: list[Point]
) -> None:
    for (_, row), run, point in zip(frame.iterrows(), runs[:-1], points[:-1], strict=False):
        model = run.model()
        evaluation = metrics.evaluate(model, "test")
        expected = {
            "experiment": point.experiment,
            "variant": point.variant,
            "steps_taken": run.steps,
            "tokens": run.tokens,
            "seconds": run.seconds,
            "diverged": False,
            "train_loss": run.last.train_loss,
            "val_loss": run.last.val_loss,
            "test_loss": evaluation.loss,
            "test_prompt_loss": evaluation.parts["prompt"],
            "test_form_loss": evaluation.parts["form"],
            "test_accuracy": evaluation.accuracy["all"],
            "embedding_norm": float(model.token_embedding.weight.detach().norm()),
            "completion": generate.complete(model, generate.SMOKE_TEST),
            "fingerprint": run.fingerprint,
        }
        found = {key: row[key] for key in expected}
        norm = found.pop("embedding_norm")
        assert norm == pytest.approx(expected.pop("embedding_norm"), rel=1e-12)
        assert found == expected


def test_a_diverged_run_has_missing_values(frame: pd.DataFrame) -> None:
    row = frame.iloc[-1]
    missing = {key for key, value in values(row).items() if value is None}
    results = {key for key in table._RESULTS if key in missing}
    assert row["diverged"]
    assert row["steps_taken"] < row["steps"]
    assert results == {
        *("train_loss", "val_loss", "test_loss", "test_prompt_loss", "test_form_loss"),
        *("test_accuracy", "embedding_norm", "completion"),
    }


def read_csv(path: Path, like: pd.DataFrame) -> pd.DataFrame:
    """As strictly as CSV can be read: nothing but an empty cell is missing."""
    return pd.read_csv(
        path,
        dtype=like.dtypes.to_dict(),
        keep_default_na=False,
        na_values=[""],
    )


@pytest.mark.parametrize("name", ["sweep", "sweep.csv", "sweep.parquet", "sweep.v2"])
def test_parquet_and_csv_are_the_same_table(name: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    parquet, csv = table.write(frame, tmp_path / "new" / name)
    stem = name.removesuffix(".csv").removesuffix(".parquet")
    assert [parquet.name, csv.name] == [f"{stem}.parquet", f"{stem}.csv"]
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), frame, check_exact=True)
    pd.testing.assert_frame_equal(read_csv(csv, frame), frame, check_exact=True)
    assert sorted(path.name for path in parquet.parent.iterdir()) == [csv.name, parquet.name]


def test_an_empty_table_has_all_columns(frame: pd.DataFrame, tmp_path: Path) -> None:
    empty = table.of([], [])
    assert list(empty) == list(frame)
    parquet, _ = table.write(empty, tmp_path / "empty")
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), empty)


def test_without_points_only_their_columns_are_left_out(
    frame: pd.DataFrame, runs: list[Run]
) -> None:
    pd.testing.assert_frame_equal(
        table.of(runs), frame.drop(columns=["experiment", "variant"]), check_exact=True
    )


def test_rows_are_grouped_by_all_that_varies_but_the_seed(frame: pd.DataFrame) -> None:
    plain = frame[frame["variant"] == "plain"]
    assert table.varying(plain) == ["optimizer.learning_rate"]
    means = table.by_point(plain)["val_loss"].agg(["mean", "min", "max"])
    assert list(means.index.names) == ["experiment", "variant", "optimizer.learning_rate"]
    for rate in (0.01, 0.02):
        losses = plain.loc[plain["optimizer.learning_rate"] == rate, "val_loss"].tolist()
        row = means.loc[("99-made-up", "plain", rate)]
        assert len(losses) == 2
        assert row.tolist() == pytest.approx([sum(losses) / 2, min(losses), max(losses)])


def test_a_value_that_is_missing_in_some_runs_makes_a_group_too(frame: pd.DataFrame) -> None:
    assert "arithmetic.grid_bits" in table.varying(frame)
    assert table.by_point(frame).size().sum() == len(frame)


def test_one_run_alone_is_one_group(runs: list[Run]) -> None:
    assert table.by_point(table.of(runs[:1])).size().tolist() == [1]


def test_the_overview_is_mean_and_range_as_text(frame: pd.DataFrame) -> None:
    plain = frame[frame["variant"] == "plain"]
    overview = table.overview(plain)
    losses = plain["val_loss"].tolist()[:2]
    mean, low, high = sum(losses) / 2, min(losses), max(losses)
    assert list(overview)[:2] == ["optimizer.learning_rate", "runs"]
    assert "diverged" not in overview
    assert overview["optimizer.learning_rate"].tolist() == ["0.01", "0.02"]
    assert overview["runs"].tolist() == ["2", "2"]
    assert overview["val_loss"][0] == f"{mean:.4f} ({low:.4f}…{high:.4f})"
    everything = table.overview(frame)
    assert {"variant", "arithmetic.grid_bits", "arithmetic.autocast"} <= set(everything)
    assert everything["diverged"].tolist() == ["0", "0", "0", "1"]
    assert everything["val_loss"].iloc[-1] == ""


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The splits that were evaluated since."""
    splits: list[str] = []

    def evaluate(model: Any, split: Any) -> metrics.Evaluation:
        splits.append(split)
        return metrics.evaluate(model, split)

    monkeypatch.setattr(table, "evaluate", evaluate)
    return splits


def test_a_run_is_tested_once(store: Store, small: MakeConfig, evaluated: list[str]) -> None:
    run = store.get(small())
    first = table.tested(run)
    assert table.tested(run) == first
    assert table.tested(store.get(small())) == first
    assert evaluated == ["test"]


def test_a_run_reached_by_a_link_is_tested_once_too(
    store: Store, small: MakeConfig, evaluated: list[str], tmp_path: Path
) -> None:
    run = store.get(small())
    table.tested(run)
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "control"
    link.symlink_to(run.path)
    table.tested(Run(link, *list(vars(run).values())[1:]))
    assert evaluated == ["test"]
    assert list((tmp_path / "links").iterdir()) == [link]


@pytest.mark.parametrize("name", ["=1+2", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", '=HYPERLINK("x")'])
def test_no_name_is_a_formula_in_the_csv(name: str, runs: list[Run], tmp_path: Path) -> None:
    point = Point(name, name, {}, 1, runs[0].config)
    parquet, csv = table.write(table.of(runs[:1], [point]), tmp_path / "table")
    assert pd.read_parquet(parquet)["variant"].tolist() == [name]
    (row,) = pd.read_csv(csv).to_dict(orient="records")
    shown = name.replace("\t", r"\t").replace("\r", r"\r")
    assert row["variant"] == row["experiment"] == f"'{shown}"
    assert csv.read_text().count("\n") == 2


def test_a_folder_whose_name_is_no_text_has_a_row(runs: list[Run], tmp_path: Path) -> None:
    name = os.fsdecode(b"\xffexp")
    frame = table.of(runs[:1], [Point(name, "control", {}, 1, runs[0].config)])
    table.write(frame, tmp_path / "table")
    assert frame["experiment"].tolist() == [r"\xffexp"]


def with_checksum(results: object) -> str:
    text = json.dumps(results)
    return json.dumps({"results": results, "sha256": sha256(text.encode())})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "[" * 100_000,
        lambda text: with_checksum(None),
        lambda text: with_checksum({}),
        lambda text: with_checksum(json.loads(text)["results"] | {"test_loss": "0.1"}),
        lambda text: with_checksum(json.loads(text)["results"] | {"more": 1.0}),
        lambda text: "",
        lambda text: "[]",
        lambda text: "{}",
        lambda text: text[:-5],
        lambda text: text.replace('"test_loss": ', '"test_loss": 1'),
        lambda text: json.dumps({"results": None, "sha256": None}),
    ],
)
def test_what_was_kept_and_is_not_what_was_written_is_computed_again(
    store: Store, small: MakeConfig, evaluated: list[str], damage: Callable[[str], str]
) -> None:
    run = store.get(small())
    first = table.tested(run)
    (kept,) = (store.root / ".tested").iterdir()
    kept.write_text(damage(kept.read_text()))
    assert table.tested(run) == first
    assert len(evaluated) == 2


def test_results_are_computed_where_nothing_can_be_written(
    store: Store, small: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table, "write_atomically", full)
    assert math.isfinite(table.tested(store.get(small()))["test_loss"])
