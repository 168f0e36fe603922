"""``python -m benchmarks.compare_checks``: `minitrain.checks` and four packages on the same faults.

A comparison that was made once, for the chapter "Ten checks"; the book does not run it, as these
packages are not among its requirements. Its output is benchmarks/compare_checks.txt:

    pip install torch-audit==0.3.0 torchtest==0.5 tinytorchtest==1.2.3 mldoct==1.0.0
    python -m benchmarks.compare_checks > benchmarks/compare_checks.txt

It is no neutral benchmark: we chose the faults, and nearly all are of kinds that our checks were
written for. It asks one thing: which package says something of a fault that it did not say of the
healthy training.

How each is used, the plainest way that its documentation shows:

- minitrain.checks: seven checks, on a model in evaluation mode; a refusal counts as said.
- torch-audit: `autopatch` on model and optimizer, three audited training steps; INFO is left out.
- torchtest, tinytorchtest: `assert_vars_change`, which makes one training step.
- mldoct: its linter reads source code, so it reads scripts with the same faults, where they can be
  written in one.
"""

import copy
import datetime
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/minitrain/checks"))

import published  # the small models of others that our tests use
import tinytorchtest.tinytorchtest
import torch
import torch_audit
import torchtest
import transformers
from mldoctor.linter import lint_script
from torch import Tensor, nn
from torch.nn import functional as F
from torch_audit.validators import builtin  # noqa: F401  (registers the rules)

from minitrain import checks
from minitrain.training import corpus
from minitrain.training.config import ModelConfig
from minitrain.training.model import build_model

PACKAGES = (
    "torch",
    "transformers",
    "torch-audit",
    "torchtest",
    "tinytorchtest",
    "mldoct",
)
IGNORED = -100


class OurGPT(nn.Module):
    """The course's GPT in float32, with the one argument that all packages hand over."""

    def __init__(self) -> None:
        super().__init__()
        self.gpt = build_model(ModelConfig(n_layer=2, n_head=4, d_model=32), 0, torch.float32)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.gpt(input_ids)


class AdamW(torch.optim.Adam):
    """Named like one and computing like the other, as in nntrainer before its PR #3565."""


@dataclass
class Patient:
    """A model with its optimizer and data. classes: how many the loss chooses between."""

    model: nn.Module
    optimizer: Any
    inputs: Tensor
    targets: Tensor
    classes: int
    logits_of: Callable[[Tensor], Tensor]
    mean_of_means: bool = False

    def loss(self, rows: slice = slice(None)) -> Tensor:
        return cross_entropy(self.logits_of(self.inputs[rows]), self.targets[rows])

    def halves(self) -> Iterator[tuple[slice, float]]:
        """The rows of each half of the batch, and the weight that the training gives it."""
        n = len(self.inputs)
        counts = (self.targets != IGNORED).float().view(n, -1).sum(1)
        for rows in (slice(0, n // 2), slice(n // 2, n)):
            yield rows, 0.5 if self.mean_of_means else (counts[rows].sum() / counts.sum()).item()

    def accumulate(self) -> None:
        for rows, weight in self.halves():
            (self.loss(rows) * weight).backward()

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.accumulate()
        self.optimizer.step()


def cross_entropy(output: Any, targets: Tensor) -> Tensor:
    logits = getattr(output, "logits", output)
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


def groups(model: nn.Module, decay: float = 0.1, everything: bool = False) -> list[dict[str, Any]]:
    if everything:
        return [{"params": list(model.parameters()), "weight_decay": decay}]
    return [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups(model), lr=1e-3)


OPTIMIZERS: dict[str, Callable[[nn.Module], Any]] = {
    "healthy, no decay": lambda model: torch.optim.AdamW(groups(model, 0.0), lr=1e-3),
    "Adam for AdamW": lambda model: torch.optim.Adam(groups(model), lr=1e-3),
    "L2 in a class AdamW": lambda model: AdamW(groups(model), lr=1e-3),
    "decay on everything": lambda model: torch.optim.AdamW(groups(model, everything=True), lr=1e-3),
    "optimizer before model": lambda model: adamw(copy.deepcopy(model)),
}
FAULTS = (
    "healthy",
    *OPTIMIZERS,
    "N(0, 1) tied embedding",
    "causal mask dropped",
    "functional dropout",
    "a layer in no group",
    "mean of means",
)
# Without a tied embedding or a LayerNorm, or in even batches, there is nothing to plant.
LEFT_OUT = {
    "GPT-2": {"mean of means"},
    "Llama": {
        "mean of means",
        "N(0, 1) tied embedding",
        "functional dropout",
        "a layer in no group",
    },
}
HEALTHY_ONLY = ("ViT", "ResNet", "ConvNeXt")


def patient(kind: str) -> Patient:
    """A healthy one."""
    torch.manual_seed(0)
    if kind == "our GPT":
        batch = corpus.encoded("train")[torch.arange(16)]
        model: Any = OurGPT()
        inputs, targets, classes = batch.inputs, batch.targets, len(corpus.vocabulary())
    elif kind in HEALTHY_ONLY:
        images = published.images()
        model = published.EVERY[kind].build()
        inputs, targets, classes = images["pixel_values"], images["labels"], published.CLASSES
    else:
        tokens = published.tokens()
        model = published.EVERY[kind].build()
        inputs, targets, classes = tokens[:, :-1], tokens[:, 1:], published.V

    def logits_of(inputs: Tensor) -> Tensor:
        output = model(inputs)
        return getattr(output, "logits", output)

    return Patient(model, adamw(model), inputs, targets, classes, logits_of)


def planted(kind: str, fault: str) -> Patient:
    """A fresh patient with one fault."""
    sick = patient(kind)
    model: Any = sick.model
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    if fault in OPTIMIZERS:
        sick.optimizer = OPTIMIZERS[fault](model)
    elif fault == "N(0, 1) tied embedding":
        ours = kind == "our GPT"
        table = model.gpt.token_embedding if ours else model.get_input_embeddings()
        nn.init.normal_(table.weight)
    elif fault == "causal mask dropped":
        sick.logits_of = unmasked(model, kind)
    elif fault == "functional dropout":
        norms[0].register_forward_hook(lambda module, inputs, output: F.dropout(output, 0.1))
    elif fault == "a layer in no group":
        norms[-1].weight = nn.Parameter(norms[-1].weight.detach().clone())
    elif fault == "mean of means":
        sick.mean_of_means = True
    return sick


def unmasked(model: Any, kind: str) -> Callable[[Tensor], Tensor]:
    attend = F.scaled_dot_product_attention

    def ours(inputs: Tensor) -> Tensor:
        name = "scaled_dot_product_attention"
        with mock.patch.object(F, name, lambda q, k, v, is_causal: attend(q, k, v)):
            return model(inputs)

    def others(inputs: Tensor) -> Tensor:
        rows, length = inputs.shape
        return model(inputs, attention_mask=torch.zeros(rows, 1, length, length)).logits

    return ours if kind == "our GPT" else others


def by_minitrain(sick: Patient) -> str:
    model, optimizer = sick.model.eval(), sick.optimizer
    asked: dict[str, Callable[[], checks.Verdict]] = {
        "initial_loss": lambda: checks.initial_loss(sick.loss().detach(), sick.classes),
        "repeatable": lambda: checks.repeatable(lambda: sick.logits_of(sick.inputs)),
        "split_gradient": lambda: checks.split_gradient(
            model, lambda: sick.loss().backward(), sick.accumulate
        ),
        "zero_gradient": lambda: checks.zero_gradient(model, optimizer),
        "parameter_groups": lambda: checks.parameter_groups(model, optimizer, checks.vectors),
        "updated_parameters": lambda: checks.updated_parameters(model, sick.step),
    }
    if sick.inputs.ndim == 2:
        asked["causality"] = lambda: checks.causality(sick.logits_of, sick.inputs)
    found = []
    for name, ask in asked.items():
        try:
            if not ask():
                found.append(name)
        except checks.CannotJudge:
            found.append(f"({name})")
    return ", ".join(found)


def by_torch_audit(sick: Patient) -> str:
    audit = torch_audit.autopatch(
        sick.model.train(), optimizer=sick.optimizer, every_n_steps=1, suppress_internal_errors=True
    )
    for _ in range(3):
        if sick.mean_of_means:
            sick.step()
        else:
            sick.optimizer.zero_grad()
            sick.loss().backward()
            sick.optimizer.step()
    findings = audit.finish(report=False).findings
    audit.unpatch()
    SEEN.update(found.rule_id for found in findings if found.severity.value != "INFO")
    return ", ".join(sorted({f.rule_id for f in findings if f.severity.value != "INFO"}))


SEEN: set[str] = set()


def by_torchtest(package: Any) -> Callable[[Patient], str]:
    def asked(sick: Patient) -> str:
        data = [sick.inputs, sick.targets]
        try:
            package.assert_vars_change(sick.model, cross_entropy, sick.optimizer, data, "cpu")
        except Exception as error:  # each package has exceptions of its own
            return str(error).replace(" did not change!", "")
        return ""

    return asked


ASKED: dict[str, Callable[[Patient], str]] = {
    "minitrain.checks": by_minitrain,
    "torch-audit": by_torch_audit,
    "torchtest": by_torchtest(torchtest),
    "tinytorchtest": by_torchtest(tinytorchtest.tinytorchtest),
}

SCRIPT = """import torch
from torch import nn
model = GPT()
optimizer = torch.optim.{optimizer}(model.parameters(), lr=1e-3, weight_decay=0.1)
for batch, targets in loader:
    {zero}
    loss = nn.functional.cross_entropy(model(batch), targets){share}
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
{mode}
with torch.no_grad():
    val = nn.functional.cross_entropy(model(x), y)
"""
HEALTHY_SCRIPT = {
    "optimizer": "AdamW",
    "zero": "optimizer.zero_grad()",
    "share": "",
    "mode": "model.eval()",
}
SCRIPTS = {
    "healthy": {},
    "no zero_grad": {"zero": "pass"},
    "no eval()": {"mode": ""},
    "Adam for AdamW": {"optimizer": "Adam"},
    "mean of means": {"share": " / 4"},
}


def by_mldoct(changes: dict[str, str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.py"
        path.write_text(SCRIPT.format(**HEALTHY_SCRIPT | changes), encoding="utf-8")
        found, _ = lint_script(str(path))
    return ", ".join(each["type"] for each in found)


def rules() -> dict[str, str]:
    """The titles that torch-audit gives its rules, by their names."""
    modules = [module for name, module in sys.modules.items() if name.startswith("torch_audit.")]
    found = [value for module in modules for value in vars(module).values()]
    return {
        rule.id: rule.title for rule in found if type(rule).__name__ == "Rule" and rule.id in SEEN
    }


def row(*cells: str) -> str:
    return " | ".join([f"{cells[0]:8}", f"{cells[1]:22}", *(cell or "-" for cell in cells[2:])])


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    python = ".".join(str(part) for part in sys.version_info[:3])
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    print(f"{datetime.date.today()}; Python {python}, {versions}")
    print("-: nothing said; (…): refused to judge\n")
    print(row("model", "training", *ASKED))
    for kind in ("our GPT", "GPT-2", "Llama", *HEALTHY_ONLY):
        for fault in ("healthy",) if kind in HEALTHY_ONLY else FAULTS:
            if fault not in LEFT_OUT.get(kind, ()):
                print(row(kind, fault, *(ask(planted(kind, fault)) for ask in ASKED.values())))
    print("\nmldoct, on scripts")
    for name, changes in SCRIPTS.items():
        print(f"  {name:15} {by_mldoct(changes) or '-'}")
    print("\nThe rules of torch-audit, by the titles that it gives them")
    for rule, title in sorted(rules().items()):
        print(f"  {rule}  {title}")


if __name__ == "__main__":
    main()
