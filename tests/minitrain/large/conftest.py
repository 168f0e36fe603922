"""What the tests of large runs share: tokens of Python's own `email`, a run of a second."""

import email
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minitrain.large import config as configs
from minitrain.large import tokens as making
from minitrain.large.config import LargeConfig
from minitrain.large.shards import Tokens

TEXTS = Path(email.__file__).parent

TINY: dict[str, Any] = {
    "steps": 20,
    "batch_size": 8,
    "eval_interval": 5,
    "model": {"n_layer": 2, "n_head": 2, "d_model": 16},
    "optimizer": {"learning_rate": 1e-2, "gradient_clip": 1.0},
    "schedule": {"warmup_steps": 4},
    "context": 16,
    "micro_batch_size": 8,
    "precision": "float32",
    "compile": False,
    "eval_sequences": 16,
    "checkpoint_interval": 6,
}


@pytest.fixture(scope="session")
def token_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokens of Python's own `email` package, several shards of them."""
    folder = tmp_path_factory.mktemp("large") / "tokens"
    making.make(TEXTS, folder, vocabulary=400, shard=50_000)
    return folder


@pytest.fixture
def tokens(token_folder: Path) -> Tokens:
    return Tokens(token_folder)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., LargeConfig]:
    """Make a config whose run takes a second; keywords replace keys, or keys within sections."""

    def make(**changes: Any) -> LargeConfig:
        return configs.parse(configs.patched(TINY, dict(configs.flat(changes))), "tiny")

    return make
