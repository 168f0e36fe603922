"""Models that others wrote, from `transformers`, small and untrained, and how they are trained."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from torch import Tensor, nn
from transformers.trainer import Trainer

V, T, PAD = 96, 16, 0
CLASSES = 10

# The names that most configs share.
SHAPE = {
    "vocab_size": V,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": PAD,
}
GROUPED = SHAPE | {"num_key_value_heads": 1}
DECODER = SHAPE | {"is_decoder": True}
PYRAMID = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_labels": CLASSES}


@dataclass(frozen=True)
class Published:
    """A model's class, its config's, and what makes it small."""

    model: str
    config: str
    settings: dict[str, Any]

    def build(self, seed: int = 0) -> Any:
        torch.manual_seed(seed)
        config = getattr(transformers, self.config)(**self.settings)
        return getattr(transformers, self.model)(config)


def _plain(name: str, settings: dict[str, Any], config: str = "") -> Published:
    return Published(f"{name}ForCausalLM", f"{config or name}Config", settings)


LANGUAGE = {
    "GPT-2": Published(
        "GPT2LMHeadModel",
        "GPT2Config",
        SHAPE | {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    ),
    "Llama": _plain("Llama", GROUPED),
    "Gemma 2": _plain("Gemma2", GROUPED | {"head_dim": 16, "query_pre_attn_scalar": 16}),
    "Mixtral": _plain("Mixtral", GROUPED | {"num_local_experts": 4}),
    "GPT-NeoX": _plain("GPTNeoX", SHAPE),
    "OPT": _plain("OPT", SHAPE | {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    "BLOOM": _plain("Bloom", SHAPE | {"n_layer": 2, "n_head": 2}),
    "BERT": Published("BertLMHeadModel", "BertConfig", DECODER),
    "RoFormer": _plain("RoFormer", DECODER),
    "Mamba": _plain("Mamba", SHAPE | {"state_size": 8}),
    "T5": Published(
        "T5ForConditionalGeneration",
        "T5Config",
        SHAPE
        | {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
        | {"decoder_start_token_id": PAD},
    ),
}
VISION = {
    "ViT": Published(
        "ViTForImageClassification",
        "ViTConfig",
        SHAPE | {"image_size": 32, "patch_size": 16, "num_labels": CLASSES},
    ),
    "ResNet": Published("ResNetForImageClassification", "ResNetConfig", PYRAMID),
    "ConvNeXt": Published("ConvNextForImageClassification", "ConvNextConfig", PYRAMID),
}
EVERY = LANGUAGE | VISION


def tokens(rows: int = 4, length: int = T) -> Tensor:
    """Random tokens (rows, length), none of them special."""
    return torch.randint(5, V, (rows, length), generator=torch.Generator().manual_seed(1))


def uneven() -> dict[str, Tensor]:
    """A batch of four rows of 16, 9, 5 and 2 tokens, padded on the right."""
    ids = tokens()
    mask = (torch.arange(T) < torch.tensor([[16], [9], [5], [2]])).long()
    labels = ids.where(mask.bool(), torch.tensor(-100))
    return {"input_ids": ids * mask, "attention_mask": mask, "labels": labels}


def images() -> dict[str, Tensor]:
    """Noise, with random labels."""
    generator = torch.Generator().manual_seed(1)
    return {
        "pixel_values": torch.randn(4, 3, 32, 32, generator=generator),
        "labels": torch.randint(0, CLASSES, (4,), generator=generator),
    }


def outputs(model: Any) -> Any:
    """On one batch: noise for a model of images, random tokens for one of language."""
    if hasattr(model.config, "num_channels"):
        return model(**images())
    return model(input_ids=tokens(), labels=tokens())


def loss(model: Any) -> Tensor:
    """The mean loss on that batch."""
    return outputs(model).loss


def logits_of(model: Any, **more: Any) -> Callable[[Tensor], Tensor]:
    """Tokens to the logits of the decoder; T5's encoder reads one and the same text."""
    if model.config.is_encoder_decoder:
        return lambda ids: model(input_ids=tokens(), decoder_input_ids=ids, **more).logits
    return lambda ids: model(input_ids=ids, **more).logits


def adamw(
    model: nn.Module, kind: type[torch.optim.Optimizer] = torch.optim.AdamW, **more: Any
) -> torch.optim.Optimizer:
    """The optimizer of `transformers.Trainer`: decay on what its name list does not spare."""
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    named = list(model.named_parameters())
    groups = [
        {"params": [p for name, p in named if name in decayed], "weight_decay": 0.01},
        {"params": [p for name, p in named if name not in decayed], "weight_decay": 0.0},
    ]
    return kind(groups, **{"lr": 5e-5} | more)


class Loop:
    """`Trainer`'s loop: gradients clipped to 1, linear warm-up from 0, linear decay."""

    def __init__(self, model: Any, optimizer: torch.optim.Optimizer | None = None, per: int = 1):
        self.model = model.train()
        self.optimizer = optimizer or adamw(model)
        self.schedule = transformers.get_linear_schedule_with_warmup(self.optimizer, 3, 12)
        self.per, self.steps = per, 0

    def advance(self) -> None:
        loss(self.model).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        if self.steps % self.per == 0:
            self.schedule.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {
            name: getattr(self, name).state_dict() for name in ("model", "optimizer", "schedule")
        } | {"rng": torch.get_rng_state()}

    def load_state_dict(self, saved: dict[str, Any], lost: str = "") -> None:
        for name in {"model", "optimizer", "schedule"} - {lost}:
            getattr(self, name).load_state_dict(saved[name])
        if lost != "rng":
            torch.set_rng_state(saved["rng"])
