"""The run of minitrain, written in JAX and Optax: same model, same optimizer, same grid, float64.

It shares with minitrain the corpus, the schedule, the initial values and the rule of what decays,
and nothing that computes. Parameters are a flat dict with PyTorch's names, so that both have the
same fingerprint. Nothing else in minitrain imports this module: without it no JAX is needed.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from jax import Array

from minitrain.common.errors import UserError
from minitrain.training import corpus, grid, loop, optim
from minitrain.training.config import Config, flat
from minitrain.training.corpus import PAD
from minitrain.training.schedule import learning_rate

Parameters = dict[str, Array]
Step = Callable[[Parameters, Any, Array, Array], tuple[Parameters, Any]]

# What is written here has these values; minitrain knows others.
_ONLY = {
    "model.dropout": 0.0,
    "model.qkv_bias": True,
    "model.tied_embedding": True,
    "optimizer.gradient_clip": None,
    "arithmetic.dtype": "float64",
    "arithmetic.autocast": None,
    "arithmetic.loss_scale": 1.0,
}

# Numbers of 64 bits are off by default; a machine with an accelerator would pick it, and warn.
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")


def initial_parameters(config: Config) -> Parameters:
    """The values with which minitrain starts."""
    model = loop.start(config).model
    return {name: jnp.asarray(p.detach().numpy()) for name, p in model.named_parameters()}


def fingerprint(parameters: Parameters) -> str:
    """The fingerprint of minitrain."""
    return grid.fingerprint({k: torch.from_numpy(np.array(v)) for k, v in parameters.items()})


def linear(p: Parameters, name: str, x: Array) -> Array:
    """PyTorch's linear layer: the weight is (out, in)."""
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def layer_norm(p: Parameters, name: str, x: Array) -> Array:
    """PyTorch's LayerNorm over the last axis."""
    mean = x.mean(axis=-1, keepdims=True)
    variance = jnp.square(x - mean).mean(axis=-1, keepdims=True)
    scaled = (x - mean) / jnp.sqrt(variance + 1e-5)
    return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]


def attention(p: Parameters, name: str, x: Array, n_head: int) -> Array:
    """Causal multi-head self-attention: (B, T, C) -> (B, T, C)."""
    B, T, C = x.shape
    qkv = linear(p, f"{name}.qkv", x).reshape(B, T, 3, n_head, C // n_head)
    q, k, v = jnp.moveaxis(qkv, 2, 0).swapaxes(2, 3)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(C // n_head)
    scores = jnp.where(jnp.tril(jnp.ones((T, T), bool)), scores, -jnp.inf)
    y = jax.nn.softmax(scores, axis=-1) @ v
    return linear(p, f"{name}.out", y.swapaxes(1, 2).reshape(B, T, C))


def logits(p: Parameters, config: Config, inputs: Array) -> Array:
    """Token ids (B, T) -> logits (B, T, V)."""
    x = p["token_embedding.weight"][inputs] + p["position_embedding.weight"][: inputs.shape[1]]
    for i in range(config.model.n_layer):
        block = f"blocks.{i}"
        h = layer_norm(p, f"{block}.ln_1", x)
        x = x + attention(p, f"{block}.attention", h, config.model.n_head)
        h = linear(p, f"{block}.mlp.up", layer_norm(p, f"{block}.ln_2", x))
        x = x + linear(p, f"{block}.mlp.down", jax.nn.silu(h))
    return layer_norm(p, "ln_f", x) @ p["token_embedding.weight"].T


def loss(p: Parameters, config: Config, inputs: Array, targets: Array) -> Array:
    """Mean cross-entropy in nats over the targets that are not padding."""
    wanted = targets != PAD
    log_p = jax.nn.log_softmax(logits(p, config, inputs))
    of_target = jnp.take_along_axis(log_p, jnp.where(wanted, targets, 0)[..., None], axis=-1)
    return -jnp.where(wanted, of_target[..., 0], 0.0).sum() / wanted.sum()


def decay_mask(parameters: Parameters, mask: optim.Mask) -> dict[str, bool]:
    """What Optax wants of a mask: a tree like that of the parameters, True where decay applies."""

    def decays(path: tuple[Any, ...], value: Array) -> bool:
        return optim.decays(path[-1].key, value, mask)  # type: ignore[arg-type]

    tree: dict[str, bool] = jax.tree_util.tree_map_with_path(decays, parameters)
    return tree


def make_optimizer(config: Config) -> optax.GradientTransformation:
    """The optimizer of `config`, put together from the pieces of Optax."""
    settings = config.optimizer
    rates = jnp.array([learning_rate(step, config) for step in range(config.steps)])
    beta1, beta2 = settings.betas
    adam = optax.scale_by_adam(beta1, beta2, settings.eps)
    decay = optax.add_decayed_weights(
        settings.weight_decay, lambda parameters: decay_mask(parameters, settings.decay_mask)
    )
    descend = optax.scale_by_learning_rate(lambda count: rates[count])
    if settings.name == "adam":
        return optax.chain(decay, adam, descend)
    return optax.chain(adam, decay, descend)


def make_step(
    config: Config, optimizer: optax.GradientTransformation | None = None
) -> tuple[Step, Any]:
    """A compiled update ``step(parameters, state, inputs, targets)``, and its first state.

    optimizer: in place of the one that `config` describes. Raises `UserError` for a config that has
    more to it than is written here.
    """
    for field, value in flat(config).items():
        if field in _ONLY and value != _ONLY[field]:
            raise UserError(f"jax_gpt: {field}: only {_ONLY[field]!r} is supported (got {value!r})")
    optimizer = optimizer or make_optimizer(config)
    scale = 2.0**config.arithmetic.grid_bits if config.arithmetic.grid_bits else None

    def step(p: Parameters, state: Any, inputs: Array, targets: Array) -> tuple[Parameters, Any]:
        gradients = jax.grad(loss)(p, config, inputs, targets)
        updates, state = optimizer.update(gradients, state, p)
        p = optax.apply_updates(p, updates)
        if scale:
            p = {name: jnp.round(value * scale) / scale for name, value in p.items()}
        return p, state

    return jax.jit(step, donate_argnums=(0, 1)), optimizer.init(initial_parameters(config))


def train(config: Config, optimizer: optax.GradientTransformation | None = None) -> Parameters:
    """The parameters at the end of a run: same start, same batches, same steps as minitrain's.

    Batches are not cut to their longest item, which changes no result: one shape, one compilation.
    """
    step, state = make_step(config, optimizer)
    parameters = initial_parameters(config)
    data = corpus.encoded("train")
    inputs, targets = data.inputs.numpy(), data.targets.numpy()
    for rows in loop.batch_indices(config).numpy():
        parameters, state = step(parameters, state, inputs[rows], targets[rows])
    return parameters
