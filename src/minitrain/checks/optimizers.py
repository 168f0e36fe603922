"""Checks of an optimizer: which parameters it holds, moves and decays, and at what rate."""

import copy
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from minitrain.checks.reading import copies, finite, parameters, restored, same_bits
from minitrain.checks.verdict import CannotJudge, Verdict, few

Groups = Sequence[Mapping[str, Any]]


def updated_parameters(model: nn.Module, step: Callable[[], object], steps: int = 3) -> Verdict:
    """A training step changes every parameter that has `requires_grad`, and no other.

    step: one whole training step. steps: how often it is called. The first may rightly change
    nothing: a warm-up begins at 0, and what feeds a layer initialised at zero (an output layer,
    the B of LoRA) has no gradient before that layer has moved. The model's values, buffers and
    gradients are put back; the optimizer's moments and counters are not.

    Finds an optimizer built before the model was replaced (huggingface/transformers PR #3532,
    huggingface/accelerate#2665), parts in no optimizer or detached from the loss, updates lost to
    rounding, and frozen parameters that move. Cannot see rows: an embedding has changed if one row
    has, and frozen rows may decay (huggingface/diffusers#1009); nor that a parameter does nothing
    but decay.
    """
    named = parameters(model)
    if not any(p.requires_grad for p in named.values()):
        raise CannotJudge("model: no parameter has requires_grad")
    if steps < 1:
        raise CannotJudge(f"steps: {steps}")
    before = copies(named)
    with restored(model):
        for _ in range(steps):
            step()
        for name, p in named.items():
            finite(f"step: {name}", p)
        changed = {name for name, p in named.items() if not same_bits(p, before[name])}
    trainable = [name for name, p in named.items() if p.requires_grad]
    still = [name for name in trainable if name not in changed]
    moved = [name for name in named if name in changed and name not in trainable]
    evidence = f"Δ ≠ 0: {len(trainable) - len(still)} / {len(trainable)}"
    evidence += f"; Δ = 0: {few(still)}" if still else ""
    evidence += f"; frozen, Δ ≠ 0: {few(moved)}" if moved else ""
    return Verdict("updated_parameters", not still and not moved, evidence)


def zero_gradient(
    model: nn.Module,
    optimizer: Optimizer | Callable[[], object],
    steps: int = 10,
    *,
    shrinkage: Mapping[str, float] | None = None,
    expected: Literal["decoupled", "l2"] | None = None,
) -> Verdict:
    r"""With every gradient zero, an optimizer does nothing but decay.

    Decoupled decay shrinks a parameter by :math:`(1 - \eta\lambda)^n` in n steps (Loshchilov &
    Hutter, 2019, algorithm 2). An L2 penalty in Adam passes through the moments and moves each
    number by about :math:`\eta` a step, however small :math:`\lambda` is.

    optimizer: its groups say lr (or initial_lr, if a schedule holds lr at 0) and weight_decay. It
    and the model are copied, the copy is in float64 with its moments at zero, and the caller's stay
    as they are. Or a callable that makes one step of any other optimizer, on `model` itself, whose
    values and gradients are put back; the optimizer has to be fresh, as moments move too.
    shrinkage: lr × weight_decay by name of parameter, 0 where it says nothing; needed with a
    callable, and for an optimizer in place of what its groups say.
    expected: what weight decay should be; "l2" asks only that it pulls towards 0. Unless given it
    is "l2" in groups with momentum, as SGD has no other kind, and "decoupled" elsewhere; in SGD
    without momentum the two are the same. LAMB, NovoGrad and others that scale whatever they add to
    a parameter need "l2" as well.

    Finds Adam in place of AdamW (nntrainer/nntrainer PR #3565), decay applied twice or not at all,
    and parameters that decay although their group says no. Cannot see a decay that is declared for
    the wrong parameters (`parameter_groups`), nor one that is lost to rounding in a low precision.
    """
    parameters(model)
    if steps < 1:
        raise CannotJudge(f"steps: {steps}")
    if isinstance(optimizer, Optimizer):
        model, optimizer = _fresh_copy(model, optimizer)
        step: Callable[[], object] = optimizer.step
        declared, coupled = _declared(model, optimizer.param_groups)
        declared = declared if shrinkage is None else dict(shrinkage)
    elif callable(optimizer) and shrinkage is not None:
        step, declared, coupled = optimizer, dict(shrinkage), set()
    else:
        name = type(optimizer).__name__
        raise CannotJudge(f"optimizer: a {name} has no param_groups; give a step, and shrinkage")
    named = {n: p for n, p in parameters(model).items() if p.numel() and p.is_floating_point()}
    if unknown := sorted(declared.keys() - named.keys()):
        raise CannotJudge(f"shrinkage: the model has no {few(unknown)}")

    before, after = _with_zero_gradients(model, named, step, steps)
    wrong = {}
    for name in named:
        rate = declared.get(name, 0.0)
        meant = expected or ("l2" if name in coupled else "decoupled")
        factor = (1 - rate) ** steps
        old, new = before[name], after[name]
        off = ((new - factor * old).norm() / old.norm()).item()
        rounding = 4 * steps * torch.finfo(old.dtype).eps
        if 0 < 1 - factor < 4 * rounding:
            raise CannotJudge(f"{name}: lr × weight_decay = {rate:.2g} is lost to rounding")
        near = rounding + (1 - factor) / 100  # a hundredth: Adan divides by 1 + ηλ instead
        pulled = bool((old * (new - old)).sum() < 0)
        if not (pulled if rate and meant == "l2" else off <= near):
            wrong[name] = f"{name}: ‖θ‖ × {(new.norm() / old.norm()).item():.6f} ≠ {factor:.6f}"
    decaying = sum(declared.get(name, 0.0) > 0 for name in named)
    evidence = f"n = {steps}, decay: {decaying}, still: {len(named) - decaying}"
    if wrong:
        evidence = f"n = {steps}, ≠: {len(wrong)} / {len(named)}; {next(iter(wrong.values()))}"
    return Verdict("zero_gradient", not wrong, evidence)


@torch.no_grad()
def _with_zero_gradients(
    model: nn.Module, named: Mapping[str, nn.Parameter], step: Callable[[], object], steps: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters before and after `steps`; the model is then put back."""
    with restored(model):
        for p in named.values():
            p.copy_(torch.where(p == 0, 1, p))  # zeros stay zero under any decay
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad.zero_()
        before = copies(named)
        for _ in range(steps):
            step()
        return before, copies(named)


def _fresh_copy(model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
    """Both in one copy, so that the copied optimizer holds the copied parameters."""
    _, *arguments = signature(type(optimizer).step).parameters.values()
    if any(a.default is a.empty and a.kind is a.POSITIONAL_OR_KEYWORD for a in arguments):
        raise CannotJudge(f"optimizer: {type(optimizer).__name__} makes no step without a loss")
    try:
        memo: dict[int, Any] = {}
        twin, fresh = copy.deepcopy((model, optimizer), memo)
        for name, value in vars(optimizer).items():  # those of a subclass do not travel
            if name not in vars(fresh) and name != "step":  # a scheduler wraps the caller's step
                setattr(fresh, name, copy.deepcopy(value, memo))
    except (RuntimeError, TypeError, NotImplementedError):
        kind = type(model).__name__
        raise CannotJudge(f"model: {kind} cannot be copied; give a step, and shrinkage") from None
    for group in fresh.param_groups:  # a warm-up begins at 0, and nothing decays there
        if group.get("initial_lr") and not group["lr"]:
            group["lr"] = group["initial_lr"]
    held = [p for group in fresh.param_groups for p in group["params"]]
    for p in {id(p): p for p in [*twin.parameters(), *held]}.values():
        p.grad = None
        p.data = _wide(p.data)
    for state in fresh.state.values():
        for key, value in state.items():
            if isinstance(value, Tensor):
                state[key] = torch.zeros_like(_wide(value))
    return twin, fresh


def _wide(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _declared(model: nn.Module, groups: Groups) -> tuple[dict[str, float], set[str]]:
    """By name, lr × weight_decay; and whose decay is SGD's L2, which builds up in the momentum."""
    names = {id(p): name for name, p in model.named_parameters()}
    declared, coupled = {}, set()
    for i, group in enumerate(groups):
        rate = group.get("lr")
        if rate is None or float(rate) == 0:
            raise CannotJudge(f"optimizer: group {i} has lr {rate}, at which nothing decays")
        for p in group["params"]:
            if id(p) in names:
                declared[names[id(p)]] = float(rate) * float(group.get("weight_decay", 0))
                if group.get("momentum", 0):
                    coupled.add(names[id(p)])
    if not declared:
        raise CannotJudge("optimizer: holds no parameter of the model")
    return declared, coupled


def vectors(name: str, parameter: Tensor) -> bool:
    """Biases and the scales of norms, by their one dimension: what most recipes do not decay."""
    return parameter.ndim <= 1


def parameter_groups(
    model: nn.Module,
    optimizer: Optimizer | Groups,
    spared: Callable[[str, nn.Parameter], bool] | None = None,
) -> Verdict:
    """Every trainable parameter is in one group of the optimizer; none is there that should not be.

    optimizer: its `param_groups`, or a list of dicts with "params" and "weight_decay". spared: says
    of a name and a parameter that it must not decay, say `vectors`. Unless given, decay is not
    judged: recipes that decay everything are published as well, torchvision's for ResNet among
    them. The evidence lists, per group: tensors, numbers, dimensions, lr, weight decay.

    Finds an optimizer built before (part of) the model was replaced, parts left out, lists of names
    that match nothing, hence an empty group (karpathy/minGPT#23, dhlee347/pytorchic-bert PR #22),
    and decay on what `spared` says. Cannot see whether `step` obeys the groups (`zero_gradient`).
    """
    named = parameters(model)
    groups = _groups(optimizer)
    names = {id(p): name for name, p in named.items()}
    held = Counter(id(p) for group in groups for p in group["params"])
    found = {
        "∉ optimizer": [n for n, p in named.items() if p.requires_grad and id(p) not in held],
        "twice": [n for n, p in named.items() if held[id(p)] > 1],
        "∉ model": [
            f"{tuple(p.shape)}" for group in groups for p in group["params"] if id(p) not in names
        ],
        "empty": [f"group {i}" for i, group in enumerate(groups) if not group["params"]],
        "decays": [
            names[id(p)]
            for group in groups
            for p in group["params"]
            if spared and group.get("weight_decay") and id(p) in names and spared(names[id(p)], p)
        ],
    }
    found = {what: which for what, which in found.items() if which}
    wrong = [f"{what}: {few(which, longest=90 // len(found))}" for what, which in found.items()]
    return Verdict("parameter_groups", not wrong, "; ".join(wrong or _described(groups)))


def _groups(optimizer: Any) -> Groups:
    groups = getattr(optimizer, "param_groups", optimizer)
    if not isinstance(groups, Sequence) or not groups:
        raise CannotJudge(f"optimizer: a {type(optimizer).__name__} has no param_groups")
    for i, group in enumerate(groups):
        if not isinstance(group, Mapping) or "params" not in group:
            raise CannotJudge(f'optimizer: group {i} has no "params"')
    return [{**group, "params": list(group["params"])} for group in groups]


def _described(groups: Groups) -> list[str]:
    lines = []
    for group in groups[:3]:
        tensors = group["params"]
        dimensions = "/".join(str(n) for n in sorted({p.ndim for p in tensors}))
        settings = [
            f"{short} {float(group[key]):.3g}"
            for key, short in {"lr": "lr", "weight_decay": "wd"}.items()
            if group.get(key) is not None
        ]
        numbers = sum(p.numel() for p in tensors)
        lines.append(f"{len(tensors)} × {dimensions}-D, {numbers}, {', '.join(settings)}")
    return [*lines, f"… (+{len(groups) - 3})"] if len(groups) > 3 else lines


def learning_rate_trace(
    optimizer: Optimizer, step: Callable[[], object], steps: int, group: int = 0
) -> list[float]:
    """The learning rate that each update used, read from the optimizer as it begins to step.

    step: one iteration of the training loop; it may step the optimizer several times, or not at
    all. steps: how many iterations. group: whose rate. Training goes on: hand in a copy of it.
    """
    if not isinstance(optimizer, Optimizer):
        raise CannotJudge(f"optimizer: a {type(optimizer).__name__} is no torch.optim.Optimizer")
    if steps < 1:
        raise CannotJudge(f"steps: {steps}")
    if not 0 <= group < len(optimizer.param_groups):
        raise CannotJudge(f"group: {group}, of {len(optimizer.param_groups)}")
    used: list[float] = []
    handle = optimizer.register_step_pre_hook(
        lambda *_: used.append(float(optimizer.param_groups[group]["lr"]))
    )
    try:
        for _ in range(steps):
            step()
    finally:
        handle.remove()
    return used


def learning_rates(
    used: Sequence[float], expected: Sequence[float] | Callable[[int], float]
) -> Verdict:
    """The learning rates that were used are those that the schedule should give.

    used: one per update, from `learning_rate_trace` or a log. expected: the same as a sequence, or
    as a function of the update, counted from 0. Equal to one part in a million.

    Finds a schedule stepped per epoch in place of per step and the reverse
    (Lornatang/SRGAN-PyTorch#1), run backwards (karpathy/nanochat#68), one step late, not reached by
    the optimizer, or built anew on resume. Cannot see whether the expected schedule is a good one.
    """
    if not len(used):
        raise CannotJudge("used: no update was made")
    wanted = [expected(i) for i in range(len(used))] if callable(expected) else list(expected)
    if not wanted:
        raise CannotJudge("expected: a schedule of no steps")
    if not all(math.isfinite(rate) for rate in [*used, *wanted]):
        raise CannotJudge("used, expected: hold NaN or infinity")
    slack = 1e-6 * max(abs(rate) for rate in wanted)
    pairs = list(zip(used, wanted, strict=False))
    differ = [i for i, (a, b) in enumerate(pairs) if not math.isclose(a, b, abs_tol=slack)]
    if differ:
        i = differ[0]
        evidence = f"step {i}: {used[i]:.4g} ≠ {wanted[i]:.4g}; {len(differ)} / {len(pairs)} ≠"
    elif len(used) != len(wanted):
        evidence = f"n = {len(used)} ≠ {len(wanted)}"
    else:
        peak = max(used)
        evidence = (
            f"n = {len(used)}: {used[0]:.3g} … {peak:.3g} at {used.index(peak)} … {used[-1]:.3g}"
        )
    return Verdict("learning_rates", not differ and len(used) == len(wanted), evidence)
