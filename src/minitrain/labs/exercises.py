"""Exercises in which a reader writes a function, and checks that say what is wrong with it.

`check_masked_step` judges the exercise of chapter 06. It knows, for every hidden case, what a right
function returns and what each typical mistake returns, so that it can name the mistake.

It is there to help, not to guard: a hand-in that patches this module, NumPy or JAX, or that ends
the process, can still fool or stop it.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array
from numpy.typing import NDArray

from minitrain.common.messages import session_language, shortened
from minitrain.labs.lab import Check

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")

WIDTH = 4
_EPS = 1e-8  # Optax's default for Adam
_EXACT, _SINGLE = 1e-9, 1e-5  # relative; how far off float64 and float32 may be
_SECONDS = 60  # for one call of what was handed in
_LONGEST_ERROR = 200  # characters of an error that the verdict shows
# Items and features of the hidden cases: few different ones, since JAX compiles for each.
_SIZES = ((6, 3), (6, 3), (6, 3), (2, 5))

_MESSAGES = {
    "en": {
        "right": "Right, in every hidden case.",
        "not_a_function": "Hand in the function itself: check_masked_step(masked_step).",
        "raises": "Your function stopped with this error in a hidden case.",
        "too_slow": "Your function was still running after {seconds} seconds: does it ever end?",
        "not_numbers": "Your function returned something that is not an array of numbers.",
        "wrong_shape": "The result has another shape. Return a 1-D array with one entry, [loss].",
        "not_finite": "The loss is infinite or not a number.",
        "decay_on_bias": "The bias decays too. Where does your mask say False?",
        "mask_inverted": "The mask is the wrong way round: the bias decays, the kernel does not.",
        "no_decay": "Nothing decays: the result is plain Adam's.",
        "l2_before_adam": "The decay enters before Adam, which divides it away: this is Adam with"
        " L2, not decoupled decay. It is in the chain before Adam, or half its square is in the"
        " loss.",
        "l2_in_the_loss": "The decay is a penalty in the loss, so it passes through Adam: this is"
        " Adam with L2. Decoupled decay never meets the gradient.",
        "penalty_returned": "The loss that you return contains the penalty. Return the MSE alone.",
        "decay_after_rate": "The decay comes after the learning rate and its minus sign: it is not"
        " scaled by lr, and it makes the kernel grow.",
        "decay_without_rate": "The kernel shrinks by wd. Decoupled decay shrinks it by lr * wd.",
        "loss_before_step": "This is the loss before the step. Apply the updates, then measure.",
        "not_the_mean": "The loss is not the mean of the squares: is it their sum, or half of it?",
        "broadcast": "Prediction and target have shapes that broadcast to a matrix: each entry is"
        " compared with every other. Flatten both with reshape(-1).",
        "transposed": "The targets are in another order: y is the prediction's reshape(-1), row by"
        " row.",
        "float32": "Right in float32 only. Flax makes float32 parameters unless param_dtype says"
        " otherwise, and a cast anywhere does the same.",
        "eps": "Nearly right: the eps of Adam is not 1e-8, Optax's default, or the step is its sign"
        " alone.",
        "zero_bias": "The bias starts at zero, as Flax has it by default; here it starts at one.",
        "seed_ignored": "The initial weights do not depend on the seed: PRNGKey(int(seed)).",
        "other": "Not right, and no mistake that this check knows. Your loss stands on the left.",
    },
    "es": {
        "right": "Correcto en todos los casos ocultos.",
        "not_a_function": "Entrega la función misma: check_masked_step(masked_step).",
        "raises": "Tu función se detuvo con el error de arriba en un caso oculto.",
        "too_slow": "Tu función seguía en marcha tras {seconds} segundos: ¿termina alguna vez?",
        "not_numbers": "Tu función devolvió algo que no es un array de números.",
        "wrong_shape": "El resultado tiene otra forma. Devuelve un array 1-D con una sola"
        " entrada, [pérdida].",
        "not_finite": "La pérdida es infinita o no es un número.",
        "decay_on_bias": "También decae el sesgo. ¿Dónde dice False tu máscara?",
        "mask_inverted": "La máscara está al revés: decae el sesgo y no el kernel.",
        "no_decay": "Nada decae: el resultado es el de Adam a secas.",
        "l2_before_adam": "El decaimiento entra antes de Adam, que lo divide hasta borrarlo: esto"
        " es Adam con L2, no decaimiento desacoplado. Está en la cadena antes de Adam, o la mitad"
        " de su cuadrado está en la pérdida.",
        "l2_in_the_loss": "El decaimiento es una penalización en la pérdida, así que pasa por Adam:"
        " esto es Adam con L2. El decaimiento desacoplado nunca toca el gradiente.",
        "penalty_returned": "La pérdida que devuelves incluye la penalización. Devuelve solo el"
        " MSE.",
        "decay_after_rate": "El decaimiento llega después de la tasa de aprendizaje y de su signo"
        " menos: no se multiplica por lr y hace crecer el kernel.",
        "decay_without_rate": "El kernel encoge en la proporción wd. Con decaimiento desacoplado"
        " encoge en la proporción lr * wd.",
        "loss_before_step": "Esta es la pérdida antes del paso. Aplica las actualizaciones y mide"
        " después.",
        "not_the_mean": "La pérdida no es la media de los cuadrados: ¿es su suma, o la mitad?",
        "broadcast": "Las formas de la predicción y del objetivo se expanden a una matriz"
        " (broadcasting): cada entrada se compara con todas. Aplana ambas con reshape(-1).",
        "transposed": "Los objetivos están en otro orden: «y» tiene que ser el reshape(-1) de la"
        " predicción, fila por fila.",
        "float32": "Solo es correcto en float32. Flax crea parámetros float32 si param_dtype no"
        " dice otra cosa; cualquier conversión tuya tiene el mismo efecto.",
        "eps": "Casi: el eps de Adam no es 1e-8, el que Optax toma por defecto, o el paso es solo"
        " su signo.",
        "zero_bias": "El sesgo empieza en cero, como es costumbre en Flax; aquí empieza en uno.",
        "seed_ignored": "Los pesos iniciales no dependen de la semilla: PRNGKey(int(seed)).",
        "other": "No es correcto, y no es ningún error que esta comprobación conozca. Tu pérdida"
        " está a la izquierda.",
    },
}

MaskedStep = Callable[[float, Array, Array, float, float], Array]


def masked_step(seed: float, x: Array, y: Array, lr: float, wd: float) -> Array:
    """The solution: the loss [MSE] after one step of Adam whose decoupled decay spares the bias."""
    layer: Any = nn.Dense(4, bias_init=nn.initializers.ones, param_dtype=jnp.float64)
    params = layer.init(jax.random.PRNGKey(int(seed)), x)

    def loss(params: Any) -> Array:
        return jnp.mean((layer.apply(params, x).reshape(-1) - y.reshape(-1)) ** 2)

    mask = jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
    optimizer = optax.adamw(lr, weight_decay=wd, mask=mask)
    updates, _ = optimizer.update(jax.grad(loss)(params), optimizer.init(params), params)
    return jnp.array([loss(optax.apply_updates(params, updates))])


def check_masked_step(function: Any) -> Check:
    """The verdict on a reader's `masked_step`, in hidden cases. Never raises what `function` does.

    `answer` names the mistakes found (or the function, if there are none), `evidence` counts the
    cases that came out right; if the mistake is an unknown one, it compares the first wrong loss
    with the right one. Only Ctrl-C gets through. A call that does not end is stopped after
    `_SECONDS`, if the check runs in the main thread, as it does in a notebook; elsewhere, and
    inside one long call of compiled code, it is not.
    """
    jax.config.update("jax_enable_x64", True)  # whatever an earlier hand-in has done to it
    if not callable(function):
        return _verdict("not_a_function", evidence=type(function).__name__)
    losses, shape = [], None
    for case in _cases():
        try:
            with _limited(_SECONDS):
                returned = function(
                    case.seed, jnp.array(case.x), jnp.array(case.y), case.lr, case.wd
                )
        except KeyboardInterrupt:
            raise
        except _TooSlow:
            return _verdict("too_slow", evidence=f"> {_SECONDS} s")
        except BaseException as error:
            return _verdict("raises", evidence=_described(error))
        try:
            result = np.asarray(returned)
        except KeyboardInterrupt:
            raise
        except BaseException:
            return _verdict("not_numbers", evidence=type(returned).__name__)
        if result.dtype.kind not in "fiu":
            return _verdict("not_numbers", evidence=type(returned).__name__)
        if result.size != 1:
            return _verdict("wrong_shape", evidence=str(result.shape))
        if result.shape != (1,):
            shape = result.shape
        losses.append(float(result.reshape(())))
    if not np.isfinite(losses).all():
        return _verdict("not_finite")
    mistakes = _explain(losses)
    if mistakes == ["other"]:
        wrong = next(i for i, right in enumerate(_agree(losses)) if not right)
        right = _loss_after(_cases()[wrong])
        return _verdict("other", evidence=f"{losses[wrong]:.6g} ≠ {right:.6g}")
    if shape is not None:
        mistakes = ["wrong_shape", *mistakes]
    return _verdict(*mistakes, evidence=f"{sum(_agree(losses))}/{len(losses)}")


class _TooSlow(BaseException):
    """Not an `Exception`: what was handed in is not to catch it by chance."""


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Raise `_TooSlow` in the body after some time; only the main thread can be told so."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _described(error: BaseException) -> str:
    """An exception as one short line; it may be one that cannot be printed."""
    try:
        text = " ".join(f"{type(error).__name__}: {error}".split())
    except KeyboardInterrupt:
        raise
    except BaseException:
        text = type(error).__name__
    return shortened(text, _LONGEST_ERROR)


def _verdict(*mistakes: str, evidence: str = "") -> Check:
    language = session_language()
    said = [_MESSAGES[language][mistake] for mistake in mistakes or ["right"]] if language else []
    said = [sentence.format(seconds=_SECONDS) for sentence in said]
    answer = ", ".join(mistakes) or masked_step.__name__
    return Check(answer, not mistakes, evidence, "\n".join(said) or None)


@dataclass(frozen=True)
class _Case:
    """The arguments of one call."""

    seed: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    lr: float
    wd: float


@cache
def _cases() -> tuple[_Case, ...]:
    """The hidden cases. The decay is strong enough to turn the sign of some gradients under L2."""
    random = np.random.default_rng(18)
    return tuple(
        _Case(
            seed=float(random.integers(1, 1000)),
            x=random.normal(size=(items, features)),
            y=random.normal(size=items * WIDTH),
            lr=float(random.uniform(0.05, 0.3)),
            wd=float(random.uniform(0.5, 2.0)),
        )
        for items, features in _SIZES
    )


@cache
def _kernel(seed: int, features: int, dtype: str) -> NDArray[Any]:
    """The kernel with which Flax starts a dense layer."""
    layer = nn.Dense(WIDTH, param_dtype=dtype)
    params = layer.init(jax.random.PRNGKey(seed), jnp.zeros((1, features), dtype))
    return np.asarray(params["params"]["kernel"])


def _loss_after(
    case: _Case,
    decayed: Sequence[str] = ("kernel",),
    decay: str = "decoupled",
    penalty: float = 0.0,
    step: bool = True,
    loss: str = "mean",
    order: str = "rows",
    dtype: str = "float64",
    bias: float = 1.0,
    seeded: bool = True,
    eps: float = _EPS,
    key: int = 0,
) -> float:
    """What the exercise asks for, by hand and in NumPy; every option is a way to get it wrong.

    The first step of Adam needs no moments: they are the gradient g and its square, so that the
    step is lr * g / (|g| + eps).
    """
    x = case.x.astype(dtype)
    targets = case.y.astype(dtype).reshape((-1, WIDTH) if order == "rows" else (WIDTH, -1))
    targets = targets if order == "rows" else targets.T
    parameters = {
        "kernel": _kernel(int(case.seed) if seeded else key, x.shape[1], dtype),
        "bias": np.full(WIDTH, bias, dtype),
    }
    # A column less a row is a matrix. Its mean square pulls every entry towards the targets' mean.
    spread = targets.var() if loss == "broadcast" else 0.0
    targets = np.full_like(targets, targets.mean()) if loss == "broadcast" else targets
    weight = {"sum": targets.size, "half": 0.5}.get(loss, 1.0)

    def error() -> NDArray[Any]:
        return x @ parameters["kernel"] + parameters["bias"] - targets

    if step:
        slope = 2 * weight * error() / targets.size
        gradients = {"kernel": x.T @ slope, "bias": slope.sum(axis=0)}
        parameters = {
            name: _first_step(
                case, value, gradients[name], decay if name in decayed else "none", eps
            )
            for name, value in parameters.items()
        }
    penalised = sum(float(np.square(parameters[name]).sum()) for name in decayed)
    return float(weight * (np.square(error()).mean() + spread)) + penalty * case.wd * penalised


def _first_step(
    case: _Case, value: NDArray[Any], gradient: NDArray[Any], decay: str, eps: float
) -> NDArray[Any]:
    pull = case.wd * value
    gradient = gradient + {"l2": 1, "penalty": 2}.get(decay, 0) * pull
    adam = -case.lr * gradient / (np.abs(gradient) + eps)
    factor = {"decoupled": -case.lr, "without_rate": -1, "after_rate": 1}.get(decay, 0)
    return np.asarray(value + adam + factor * pull)


# The options of `_loss_after` that each mistake takes; more than one where it has variants.
_BOTH = ("kernel", "bias")
_MISTAKES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "loss_before_step": [{"step": False}],
    "no_decay": [{"decay": "none"}],
    "decay_on_bias": [{"decayed": _BOTH}],
    "mask_inverted": [{"decayed": ("bias",)}],
    "l2_before_adam": [{"decay": "l2"}],
    "l2_in_the_loss": [{"decay": "penalty"}],
    "penalty_returned": [{"penalty": 1.0}, {"penalty": 0.5}],
    "decay_after_rate": [{"decay": "after_rate"}],
    "decay_without_rate": [{"decay": "without_rate"}],
    "not_the_mean": [{"loss": "sum"}, {"loss": "half"}],
    "broadcast": [{"loss": "broadcast"}],
    "transposed": [{"order": "columns"}],
    "float32": [{"dtype": "float32"}],
    "zero_bias": [{"bias": 0.0}],
    "seed_ignored": [{"seeded": False}, {"seeded": False, "key": 42}],
    "eps": [{"eps": eps} for eps in (0.0, 1e-10, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)],
}


def _explain(losses: Sequence[float]) -> list[str]:
    """The fewest known mistakes, at most three, that give these losses; ["other"] if none do."""
    for mistakes, options in _explanations():
        if len(mistakes) > 1 and "eps" in mistakes:
            continue  # its effect is too small to be told beside another's
        tolerance = _SINGLE if "float32" in mistakes else _EXACT
        if _close(losses, [_loss_after(case, **options) for case in _cases()], tolerance):
            return mistakes
    if _close(losses, [_loss_after(case) for case in _cases()], _SINGLE):
        # What was computed or cast in float32 is a float32, or comes from arguments that are; what
        # only comes near is neither.
        single = all(float(np.float32(loss)) == loss for loss in losses) or _close(
            losses, [_loss_after(_in_float32(case)) for case in _cases()], _EXACT
        )
        return ["float32" if single else "eps"]
    return ["other"]


def _in_float32(case: _Case) -> _Case:
    """The case with its arrays cast to float32 and back."""
    return replace(case, x=case.x.astype("f4").astype("f8"), y=case.y.astype("f4").astype("f8"))


def _explanations() -> Iterator[tuple[list[str], dict[str, Any]]]:
    """No mistake, then each one alone, then pairs and triples that can be made together."""
    variants = [(name, options) for name, each in _MISTAKES.items() for options in each]
    for number in range(4):
        for chosen in combinations(variants, number):
            options: dict[str, Any] = {}
            for _, one in chosen:
                options |= one
            if len(options) == sum(len(one) for _, one in chosen):
                yield [name for name, _ in chosen], options


def _close(a: Sequence[float], b: Sequence[float], tolerance: float) -> bool:
    return bool(np.allclose(a, b, rtol=tolerance, atol=0))


def _agree(losses: Sequence[float]) -> list[bool]:
    """Which of the hidden cases came out right."""
    pairs = zip(losses, _cases(), strict=True)
    return [_close([loss], [_loss_after(case)], _EXACT) for loss, case in pairs]
