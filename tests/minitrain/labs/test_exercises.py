"""The exercise of chapter 06: its check names the mistake, and takes whatever is handed in."""

import ast
import inspect
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from minitrain.common import paths
from minitrain.labs import exercises
from minitrain.labs.exercises import check_masked_step, masked_step

CHAPTER = "phase-18/06-per-parameter-masks.md"
Step = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


def dense(**changes: Any) -> Any:
    options = {"bias_init": nn.initializers.ones, "param_dtype": jnp.float64}
    return nn.Dense(4, **(options | changes))


def by_adamw(lr: float, wd: float, mask: Any) -> Any:
    return optax.adamw(lr, weight_decay=wd, mask=mask)


def by_adam(lr: float, wd: float, mask: Any) -> Any:
    return optax.adam(lr)


def before_adam(lr: float, wd: float, mask: Any) -> Any:
    return optax.chain(optax.masked(optax.add_decayed_weights(wd), mask), optax.adam(lr))


def mean_square(prediction: Any, y: Any) -> Any:
    return jnp.mean((prediction.reshape(-1) - y.reshape(-1)) ** 2)


def attempt(
    optimizer: Step = by_adamw,
    layer: Any = None,
    loss: Step = mean_square,
    penalty: Step = lambda params, wd: 0.0,
    steps: int = 1,
    key: Step = lambda seed: jax.random.PRNGKey(int(seed)),
    cast: Any = jnp.float64,
) -> Step:
    """The exercise done step by step, with each step open to a mistake."""

    def function(seed: float, x: Any, y: Any, lr: float, wd: float) -> Any:
        x, y = x.astype(cast), y.astype(cast)
        model = layer or dense()
        params = model.init(key(seed), x)

        def mse(params: Any) -> Any:
            return loss(model.apply(params, x), y)

        def penalised(params: Any) -> Any:
            return mse(params) + penalty(params, wd)

        is_kernel = jax.tree_util.tree_map_with_path(lambda path, _: "kernel" in str(path), params)
        adam = optimizer(lr, wd, is_kernel)
        state = adam.init(params)
        for _ in range(steps):
            updates, state = adam.update(jax.grad(penalised)(params), state, params)
            params = optax.apply_updates(params, updates)
        return jnp.array([mse(params)])

    return function


def squares(params: Any, wd: float) -> Any:
    return wd * jnp.sum(params["params"]["kernel"] ** 2)


def all_squares(params: Any, wd: float) -> Any:
    return wd * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))


def by_hand(decayed: Callable[[Any, Any, float, float], Any]) -> Step:
    """An optimizer that is Adam, with the decay of the kernel worked into the update by hand."""

    def optimizer(lr: float, wd: float, mask: Any) -> Any:
        def one(is_kernel: bool, update: Any, value: Any) -> Any:
            return decayed(update, value, lr, wd) if is_kernel else update

        def decay(updates: Any, params: Any = None) -> Any:
            return jax.tree.map(one, mask, updates, params)

        return optax.chain(optax.adam(lr), optax.stateless(decay))

    return optimizer


RIGHT = {
    "the solution": masked_step,
    "step by step": attempt(),
    "a list": lambda *case: [float(masked_step(*case)[0])],
    "numpy": lambda *case: np.array(masked_step(*case)),
    "decay by hand": attempt(by_hand(lambda u, p, lr, wd: u - lr * wd * p)),
    "under jit": jax.jit(attempt(), static_argnums=(0,)),
}


@pytest.mark.parametrize("function", RIGHT.values(), ids=RIGHT.keys())
def test_a_right_function_passes(function: Step) -> None:
    check = check_masked_step(function)
    assert check.found
    assert check.evidence == "4/4"


WRONG = {
    "no_decay": attempt(by_adam),
    "decay_on_bias": attempt(lambda lr, wd, mask: optax.adamw(lr, weight_decay=wd)),
    "mask_inverted": attempt(lambda lr, wd, mask: by_adamw(lr, wd, jax.tree.map(np.invert, mask))),
    "l2_before_adam": attempt(before_adam),
    "l2_in_the_loss": attempt(by_adam, penalty=squares),
    "decay_after_rate": attempt(
        lambda lr, wd, mask: optax.chain(
            optax.adam(lr), optax.masked(optax.add_decayed_weights(wd), mask)
        )
    ),
    "decay_without_rate": attempt(by_hand(lambda u, p, lr, wd: u - wd * p)),
    "loss_before_step": attempt(steps=0),
    "not_the_mean": attempt(loss=lambda p, y: jnp.sum((p.reshape(-1) - y) ** 2)),
    "broadcast": attempt(loss=lambda p, y: jnp.mean((p.reshape(-1, 1) - y) ** 2)),
    "transposed": attempt(loss=lambda p, y: jnp.mean((p.T.reshape(-1) - y) ** 2)),
    "float32": attempt(layer=dense(param_dtype=jnp.float32)),
    "zero_bias": attempt(layer=dense(bias_init=nn.initializers.zeros)),
    "seed_ignored": attempt(key=lambda seed: jax.random.PRNGKey(0)),
    "eps": attempt(lambda lr, wd, mask: optax.adamw(lr, eps=1e-6, weight_decay=wd, mask=mask)),
    "wrong_shape": lambda *case: masked_step(*case)[0],
}


@pytest.mark.parametrize(("mistake", "function"), WRONG.items(), ids=WRONG.keys())
def test_a_typical_mistake_is_named(mistake: str, function: Step) -> None:
    check = check_masked_step(function)
    assert not check.found
    assert check.answer == mistake


OTHER_WAYS = {
    "eps 1e-7": (
        "eps",
        attempt(lambda lr, wd, mask: optax.adamw(lr, eps=1e-7, weight_decay=wd, mask=mask)),
    ),
    "an eps that is not listed": (
        "eps",
        attempt(lambda lr, wd, mask: optax.adamw(lr, eps=3e-7, weight_decay=wd, mask=mask)),
    ),
    "no eps": (
        "eps",
        attempt(lambda lr, wd, mask: optax.adamw(lr, eps=0.0, weight_decay=wd, mask=mask)),
    ),
    "Lion": (
        "eps",
        attempt(lambda lr, wd, mask: optax.lion(lr, weight_decay=wd, mask=mask)),
    ),
    "half the penalty": (
        "l2_before_adam",
        attempt(by_adam, penalty=lambda params, wd: squares(params, wd) / 2),
    ),
    "always seed 42": ("seed_ignored", attempt(key=lambda seed: jax.random.PRNGKey(42))),
    "L2 of everything": (
        "decay_on_bias, l2_before_adam",
        attempt(lambda lr, wd, mask: optax.chain(optax.add_decayed_weights(wd), optax.adam(lr))),
    ),
    "penalty on everything": (
        "decay_on_bias, l2_in_the_loss",
        attempt(by_adam, penalty=all_squares),
    ),
    "half the squares": (
        "not_the_mean",
        attempt(loss=lambda p, y: jnp.mean(optax.l2_loss(p.reshape(-1), y))),
    ),
    "the arguments cast": ("float32", attempt(cast=jnp.float32)),
    "the result cast": ("float32", lambda *case: np.array(masked_step(*case), dtype=np.float32)),
    "a column": ("wrong_shape", lambda *case: masked_step(*case).reshape(1, 1)),
    "no array and before the step": (
        "wrong_shape, loss_before_step",
        lambda *case: attempt(steps=0)(*case)[0],
    ),
    # `nn.Dense(4)` as it comes, and the source's chain
    "the source's own code": (
        "l2_before_adam, float32, zero_bias",
        attempt(before_adam, layer=nn.Dense(4)),
    ),
}


@pytest.mark.parametrize(("answer", "function"), OTHER_WAYS.values(), ids=OTHER_WAYS.keys())
def test_mistakes_are_known_in_other_guises_and_together(answer: str, function: Step) -> None:
    assert check_masked_step(function).answer == answer


def test_the_loss_with_its_penalty_is_two_mistakes() -> None:
    def loss_and_penalty(seed: float, x: Any, y: Any, lr: float, wd: float) -> Any:
        layer: Any = dense()
        params = layer.init(jax.random.PRNGKey(int(seed)), x)

        def loss(params: Any) -> Any:
            return mean_square(layer.apply(params, x), y) + squares(params, wd)

        updates, _ = (adam := optax.adam(lr)).update(jax.grad(loss)(params), adam.init(params))
        return jnp.array([loss(optax.apply_updates(params, updates))])

    assert check_masked_step(loss_and_penalty).answer == "l2_in_the_loss, penalty_returned"


def raises(*case: Any) -> Any:
    raise ValueError("two\nlines")


def leaves(*case: Any) -> Any:
    raise SystemExit


class Silent(BaseException):
    def __str__(self) -> str:
        raise RuntimeError


def raises_silently(*case: Any) -> Any:
    raise Silent


def ends_a_generator(*case: Any) -> Any:
    raise GeneratorExit


def raises_at_length(*case: Any) -> Any:
    raise ValueError("x" * 10**6)


class Strange:
    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError

    def __call__(self, *case: Any) -> Any:
        return self


GARBAGE = {
    "a number": (3, "not_a_function"),
    "nothing": (None, "not_a_function"),
    "the result": ([1.0], "not_a_function"),
    "an error": (raises, "raises"),
    "an exit": (leaves, "raises"),
    "an error that cannot be printed": (raises_silently, "raises"),
    "the end of a generator": (ends_a_generator, "raises"),
    "a long error": (raises_at_length, "raises"),
    "too few arguments": (lambda seed: seed, "raises"),
    "no return": (lambda *case: None, "not_numbers"),
    "text": (lambda *case: "1.0", "not_numbers"),
    "a dict": (lambda *case: {"loss": 1.0}, "not_numbers"),
    "a ragged list": (lambda *case: [[1.0], [1.0, 2.0]], "not_numbers"),
    "complex": (lambda *case: np.array([1j]), "not_numbers"),
    "truth": (lambda *case: np.array([True]), "not_numbers"),
    "no array": (Strange(), "not_numbers"),
    "empty": (lambda *case: [], "wrong_shape"),
    "every error": (lambda seed, x, y, lr, wd: y, "wrong_shape"),
    "nan": (lambda *case: [float("nan")], "not_finite"),
    "infinite": (lambda *case: [float("inf")], "not_finite"),
    "zero": (lambda *case: [0.0], "other"),
    "an integer": (lambda *case: [1], "other"),
}


@pytest.mark.parametrize(("handed_in", "answer"), GARBAGE.values(), ids=GARBAGE.keys())
def test_whatever_is_handed_in_gets_a_verdict_of_one_line(handed_in: Any, answer: str) -> None:
    check = check_masked_step(handed_in)
    assert not check.found
    assert check.answer == answer
    assert "\n" not in repr(check)
    assert len(repr(check)) < 300


def test_a_call_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercises, "_SECONDS", 1)

    def forever(*case: Any) -> Any:
        while True:
            time.sleep(0.01)

    assert check_masked_step(forever).answer == "too_slow"


def test_a_hand_in_that_turns_float64_off_does_not_spoil_the_next() -> None:
    def turns_it_off(*case: Any) -> Any:
        jax.config.update("jax_enable_x64", False)
        return masked_step(*case)

    check_masked_step(turns_it_off)
    assert check_masked_step(masked_step).found


def test_an_unknown_mistake_is_shown_beside_the_right_loss() -> None:
    check = check_masked_step(lambda *case: masked_step(*case) + 0.125)
    yours, right = map(float, check.evidence.split(" ≠ "))
    assert check.answer == "other"
    assert yours - right == pytest.approx(0.125, abs=1e-4)


def test_no_two_mistakes_look_alike() -> None:
    """Else the check would name the wrong one."""
    losses = {
        (name, i): [exercises._loss_after(case, **options) for case in exercises._cases()]
        for name, variants in exercises._MISTAKES.items()
        for i, options in enumerate(variants)
    }
    losses["right", 0] = [exercises._loss_after(case) for case in exercises._cases()]
    for a, first in losses.items():
        for b, second in losses.items():
            # Another eps is nearly right; two variants of one mistake may be alike.
            tolerance = exercises._EXACT if "eps" in (a[0], b[0]) else 1e-3
            alike = np.allclose(first, second, rtol=tolerance, atol=0)
            assert a[0] == b[0] or not alike, f"{a} is like {b}"


def test_every_mistake_that_the_check_knows_is_tested() -> None:
    assert exercises._MISTAKES.keys() <= WRONG.keys() | {"penalty_returned"}
    known = exercises._MESSAGES["en"].keys() - {"right", "too_slow"}
    assert {answer for _, answer in GARBAGE.values()} | WRONG.keys() | {"penalty_returned"} == known


def test_a_verdict_has_sentences_only_when_a_reader_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quiet = check_masked_step(WRONG["decay_on_bias"])
    monkeypatch.setenv("JPY_SESSION_NAME", "es/06.ipynb")
    spoken = check_masked_step(WRONG["decay_on_bias"])
    two = check_masked_step(OTHER_WAYS["L2 of everything"][1])
    assert quiet.message is None
    assert repr(spoken) == f"{quiet!r}\n{exercises._MESSAGES['es']['decay_on_bias']}"
    assert len(repr(two).splitlines()) == 3


def test_languages_have_the_same_messages() -> None:
    assert exercises._MESSAGES["en"].keys() == exercises._MESSAGES["es"].keys()


class WithoutTypes(ast.NodeTransformer):
    """Drops annotations and docstrings."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if ast.get_docstring(node):
            del node.body[0]
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        assert node.value
        return ast.Assign([node.target], node.value, lineno=node.lineno)


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_solution_on_the_page_is_the_one_that_passes(language: str) -> None:
    text = (paths.course_root() / "book" / language / CHAPTER).read_text(encoding="utf-8")
    (solution,) = re.findall(r"^```python\n(def masked_step.*?)^```$", text, re.M | re.S)
    ours = WithoutTypes().visit(ast.parse(inspect.getsource(masked_step)))
    assert ast.unparse(ast.parse(solution)) == ast.unparse(ours)
    namespace: dict[str, Any] = {"jax": jax, "jnp": jnp, "nn": nn, "optax": optax}
    exec(solution, namespace)
    assert check_masked_step(namespace["masked_step"]).found
