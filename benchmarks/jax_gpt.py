"""The run of minitrain, written in JAX and Optax: same model, same optimizer, same grid, float64.

It shares with minitrain the corpus, the schedule and the initial values, and nothing that computes.
Parameters are a flat dict with PyTorch's names, so that both have the same fingerprint.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from jax import Array

from minitrain import grid, loop
from minitrain.config import Config
from minitrain.corpus import PAD
from minitrain.schedule import learning_rate

Parameters = dict[str, Array]
Step = Callable[[Parameters, Any, Array, Array], tuple[Parameters, Any]]

jax.config.update("jax_enable_x64", True)


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


def make_step(config: Config) -> tuple[Step, Any]:
    """A compiled update ``step(parameters, state, inputs, targets)``, and its first state."""
    rates = jnp.array([learning_rate(step, config) for step in range(config.steps)])
    optimizer = optax.adamw(
        lambda count: rates[count],
        *config.optimizer.betas,
        eps=config.optimizer.eps,
        weight_decay=config.optimizer.weight_decay,
        mask=lambda p: {name: value.ndim >= 2 for name, value in p.items()},
    )
    scale = 2.0**config.arithmetic.grid_bits if config.arithmetic.grid_bits else None

    def step(p: Parameters, state: Any, inputs: Array, targets: Array) -> tuple[Parameters, Any]:
        gradients = jax.grad(loss)(p, config, inputs, targets)
        updates, state = optimizer.update(gradients, state, p)
        p = optax.apply_updates(p, updates)
        if scale:
            p = {name: jnp.round(value * scale) / scale for name, value in p.items()}
        return p, state

    return jax.jit(step, donate_argnums=(0, 1)), optimizer.init(initial_parameters(config))
