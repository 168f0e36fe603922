"""JAX and Optax compute the very run that minitrain computes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from minitrain.common.errors import UserError
from minitrain.pages import jax_gpt
from minitrain.training import corpus, grid, loop
from minitrain.training.config import Config, patched
from minitrain.training.model import language_model_loss

Make = Callable[..., Config]


@pytest.mark.parametrize("name", ["adamw", "adam"])
@pytest.mark.parametrize("mask", ["matrices", "no_embedding", "all"])
def test_a_run_ends_at_the_fingerprint_of_minitrain(small: Make, name: str, mask: str) -> None:
    config = small(
        **{"optimizer.name": name, "optimizer.decay_mask": mask, "optimizer.weight_decay": 0.5}
    )
    ours = loop.train(loop.start(config))
    assert jax_gpt.fingerprint(jax_gpt.train(config)) == ours.fingerprint()


def test_without_the_grid_they_agree_to_rounding(small: Make) -> None:
    config = small(**{"arithmetic.grid_bits": None})
    ours = dict(loop.train(loop.start(config)).model.named_parameters())
    for name, theirs in jax_gpt.train(config).items():
        np.testing.assert_allclose(theirs, ours[name].detach(), rtol=0, atol=1e-9)


def test_loss_and_gradients_agree_to_rounding() -> None:
    config = Config()
    training = loop.start(config)
    batch = corpus.encoded("train")[training.batches[0]]
    ours = language_model_loss(training.model(batch.inputs), batch.targets)
    ours.backward()
    theirs, gradients = jax.value_and_grad(jax_gpt.loss)(
        jax_gpt.initial_parameters(config),
        config,
        jnp.asarray(batch.inputs.numpy()),
        jnp.asarray(batch.targets.numpy()),
    )
    assert float(theirs) == pytest.approx(ours.item(), abs=1e-12)
    for name, parameter in training.model.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(gradients[name], parameter.grad, rtol=0, atol=1e-12)


def test_the_optimizer_of_a_config_is_the_one_that_optax_calls_adamw(small: Make) -> None:
    config = small(**{"optimizer.weight_decay": 0.5, "schedule.final_fraction": 1.0})
    adamw = optax.adamw(
        config.optimizer.learning_rate,
        *config.optimizer.betas,
        weight_decay=0.5,
        mask=lambda parameters: jax_gpt.decay_mask(parameters, "matrices"),
    )
    expected = jax_gpt.fingerprint(jax_gpt.train(config))
    assert jax_gpt.fingerprint(jax_gpt.train(config, adamw)) == expected


def test_decay_chained_before_adam_is_minitrains_adam_with_l2(small: Make) -> None:
    config = small(
        **{
            "optimizer.name": "adam",
            "optimizer.weight_decay": 0.5,
            "schedule.final_fraction": 1.0,
        }
    )
    chain = optax.chain(
        optax.masked(optax.add_decayed_weights(0.5), lambda p: jax_gpt.decay_mask(p, "matrices")),
        optax.adam(config.optimizer.learning_rate, *config.optimizer.betas),
    )
    ours = loop.train(loop.start(config))
    assert jax_gpt.fingerprint(jax_gpt.train(config, chain)) == ours.fingerprint()
    decoupled = loop.train(loop.start(patched(config, {"optimizer.name": "adamw"})))
    assert decoupled.fingerprint() != ours.fingerprint()


def test_a_mask_is_true_where_minitrain_decays(small: Make) -> None:
    parameters = jax_gpt.initial_parameters(small())
    mask = jax_gpt.decay_mask(parameters, "no_embedding")
    assert mask.keys() == parameters.keys()
    assert mask["blocks.0.mlp.up.weight"]
    assert not mask["token_embedding.weight"]
    assert not mask["blocks.0.mlp.up.bias"]
    assert not mask["ln_f.weight"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.dropout", 0.1),
        ("model.qkv_bias", False),
        ("model.tied_embedding", False),
        ("optimizer.gradient_clip", 1.0),
        ("arithmetic.dtype", "float32"),
        ("arithmetic.autocast", "bfloat16"),
        ("arithmetic.loss_scale", 2.0),
    ],
)
def test_what_is_not_written_in_jax_is_one_line(small: Make, field: str, value: Any) -> None:
    with pytest.raises(UserError) as caught:
        jax_gpt.train(small(**{field: value}))
    assert field in str(caught.value)
    assert repr(value) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_minitrain_itself_does_without_jax(run_python: Callable[..., Any]) -> None:
    modules = ("command_line.main", "labs.workbench", "pages.dashboard")
    script = "\n".join(["import sys", *(f"import minitrain.{module}" for module in modules)])
    run_python(f"{script}\nassert 'jax' not in sys.modules")


def test_a_fingerprint_does_not_depend_on_the_library() -> None:
    values = torch.linspace(-1, 1, 7, dtype=torch.float64)
    theirs = {"a": jnp.asarray(values.numpy())}
    assert jax_gpt.fingerprint(theirs) == grid.fingerprint({"a": values})
