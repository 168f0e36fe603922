"""One training step, four ways. Each contestant sees the same batches in the same order."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minitrain.kernel.sandbox import Sandbox
from minitrain.runs import engines
from minitrain.training import corpus, loop
from minitrain.training.config import Config, patched
from minitrain.training.model import build_model, language_model_loss
from minitrain.training.schedule import learning_rate

# No record is due within these steps: what is measured is the step, not the evaluation.
CONFIG = patched(Config(), {"steps": 20_000, "eval_interval": 20_000})


@dataclass(frozen=True)
class Contestant:
    """A name and what does one more training step."""

    name: str
    step: Callable[[], None]


def batches(config: Config) -> Callable[[], corpus.Batch]:
    """The batches of a run of minitrain, one after the other."""
    rows = iter(loop.batch_indices(config))
    return lambda: corpus.encoded("train")[next(rows)]


def minitrain() -> Contestant:
    """Float64 on the grid, through the very function that trains every run of the course."""
    training = loop.start(CONFIG)
    return Contestant("minitrain, float64 + grid", lambda: loop.advance(training))


def kernel() -> Contestant:
    """The same run by the course's kernel in C."""
    memory = engines.kernel().start(CONFIG).memory
    return Contestant("the course's kernel, float64 + grid", memory.advance)


def web_assembly() -> Contestant:
    """The same kernel as the pages have it, under wasmtime instead of a browser."""
    return Contestant("the same as WebAssembly, under wasmtime", Sandbox(CONFIG).advance)


def _with_torch_adamw(
    name: str, model: nn.Module, logits: Callable[[Tensor], Tensor]
) -> Contestant:
    """The loop that everybody writes, with PyTorch's AdamW as it comes."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": CONFIG.optimizer.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        betas=CONFIG.optimizer.betas,
        eps=CONFIG.optimizer.eps,
    )
    next_batch, done = batches(CONFIG), 0

    def step() -> None:
        nonlocal done
        batch = next_batch()
        optimizer.zero_grad()
        language_model_loss(logits(batch.inputs), batch.targets).backward()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done, CONFIG)
        optimizer.step()
        done += 1

    return Contestant(name, step)


def float32() -> Contestant:
    """(a) The same model in float32."""
    model = build_model(CONFIG.model, CONFIG.seed, torch.float32)
    return _with_torch_adamw("(a) same model, float32, torch.optim.AdamW", model, model)


def transformers() -> Contestant:
    """(b) Hugging Face's GPT-2 of the same shape, without dropout, in float32."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(corpus.vocabulary()),
            n_positions=corpus.CONTEXT,
            n_embd=CONFIG.model.d_model,
            n_layer=CONFIG.model.n_layer,
            n_head=CONFIG.model.n_head,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            use_cache=False,
        )
    ).train()
    ours = build_model(CONFIG.model, CONFIG.seed)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in ours.parameters())
    return _with_torch_adamw(
        "(b) transformers GPT-2, float32, torch.optim.AdamW",
        model,
        lambda inputs: model(input_ids=inputs).logits,
    )


def jax() -> Contestant:
    """(c) JAX and Optax in float64 with the grid, compiled."""
    import jax as jax_library
    import jax.numpy as jnp

    from minitrain.pages import jax_gpt

    parameters = jax_gpt.initial_parameters(CONFIG)
    compiled, state = jax_gpt.make_step(CONFIG)
    next_batch = batches(CONFIG)

    def step() -> None:
        nonlocal parameters, state
        batch = next_batch()
        inputs, targets = jnp.asarray(batch.inputs.numpy()), jnp.asarray(batch.targets.numpy())
        parameters, state = compiled(parameters, state, inputs, targets)
        jax_library.block_until_ready(parameters)

    return Contestant("(c) JAX + Optax, float64 + grid", step)


def same_bytes(steps: int) -> tuple[str, str]:
    """The fingerprints after some steps of one run, by minitrain and by JAX."""
    import jax.numpy as jnp

    from minitrain.pages import jax_gpt

    ours = loop.start(CONFIG)
    parameters = jax_gpt.initial_parameters(CONFIG)
    compiled, state = jax_gpt.make_step(CONFIG)
    whole = corpus.encoded("train")  # one shape, so one compilation: padding changes nothing
    for rows in loop.batch_indices(CONFIG)[:steps]:
        loop.advance(ours)
        inputs, targets = (jnp.asarray(t[rows].numpy()) for t in (whole.inputs, whole.targets))
        parameters, state = compiled(parameters, state, inputs, targets)
    return ours.fingerprint(), jax_gpt.fingerprint(parameters)
