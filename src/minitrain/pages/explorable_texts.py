"""What the explorables say, in both languages: one catalogue for the page and for JupyterLab.

Handles are named here without their symbols, which are the same in both languages.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Texts:
    """The words of one explorable in one language.

    handles: the name of each handle, by key. choice: the label of the list, and the name of each
    of its entries. charts: the title of each chart. x: what the charts' axis counts. rows: the
    lines of the table of results. status: one sentence on the results, for who cannot see the
    charts.
    """

    title: str
    choice: str
    choices: dict[str, str]
    handles: dict[str, str]
    charts: dict[str, str]
    x: str
    rows: dict[str, str]
    status: str


@dataclass(frozen=True)
class Common:
    """Words that all explorables share. slider: how the slider beside a number is called."""

    reset: str
    slider: str
    table: str
    results: str
    never: str
    no_script: str


COMMON = {
    "en": Common(
        reset="Start again",
        slider="{name}, slider",
        table="The values as a table",
        results="Results",
        never="never",
        no_script="This panel needs JavaScript, which your browser does not run. The picture shows"
        " the setting with which it begins.",
    ),
    "es": Common(
        reset="Restablecer",
        slider="{name}, control deslizante",
        table="Los valores en una tabla",
        results="Resultados",
        never="nunca",
        no_script="Este panel necesita JavaScript, y tu navegador no lo ejecuta. La imagen muestra"
        " los valores con los que empieza.",
    ),
}

ONE_WEIGHT = {
    "en": Texts(
        title="One weight, two optimizers",
        choice="Gradient of the task",
        choices={
            "zero": "zero: the task is solved",
            "constant": "constant: always g",
            "alternating": "alternating: +g, −g, +g, …",
            "noise": "noise of size g, always the same",
            "burst": "g for 50 steps, then zero",
        },
        handles={
            "theta": "start of the weight",
            "size": "size of the gradient",
            "learning_rate": "learning rate",
            "weight_decay": "weight decay",
            "beta1": "memory of the mean",
            "beta2": "memory of the square",
            "steps": "steps",
        },
        charts={
            "theta": "θ, the weight",
            "m_hat": "m̂, the first moment",
            "root_v_hat": "√v̂, what the step is divided by",
        },
        x="step",
        rows={
            "end": "θ at the end",
            "lost": "lost: θ₀ − θ",
            "share": "lost, in % of θ₀",
            "m_hat": "m̂ at the end",
            "root_v_hat": "√v̂ at the end",
            "crossing": "first step at zero or beyond",
        },
        status="After {steps} steps the weight is {adamw} under AdamW and {l2} under Adam-L2.",
    ),
    "es": Texts(
        title="Un peso, dos optimizadores",
        choice="Gradiente de la tarea",
        choices={
            "zero": "cero: la tarea está resuelta",
            "constant": "constante: siempre g",
            "alternating": "alterno: +g, −g, +g, …",
            "noise": "ruido de tamaño g, siempre el mismo",
            "burst": "g durante 50 pasos, luego cero",
        },
        handles={
            "theta": "valor inicial del peso",
            "size": "tamaño del gradiente",
            "learning_rate": "tasa de aprendizaje",
            "weight_decay": "decaimiento de pesos",
            "beta1": "memoria de la media",
            "beta2": "memoria del cuadrado",
            "steps": "pasos",
        },
        charts={
            "theta": "θ, el peso",
            "m_hat": "m̂, el primer momento",
            "root_v_hat": "√v̂, el divisor del paso",
        },
        x="paso",
        rows={
            "end": "θ al final",
            "lost": "perdido: θ₀ − θ",
            "share": "perdido, en % de θ₀",
            "m_hat": "m̂ al final",
            "root_v_hat": "√v̂ al final",
            "crossing": "primer paso en que θ llega a cero o lo cruza",
        },
        status="Tras {steps} pasos, el peso vale {adamw} con AdamW y {l2} con Adam-L2.",
    ),
}

DECAY_TIMESCALE = {
    "en": Texts(
        title="How long a run remembers",
        choice="Recipe",
        choices={
            "GPT-3 Small": "GPT-3 Small",
            "GPT-3 175B": "GPT-3 175B",
            "LLaMA 7B": "LLaMA 7B",
            "LLaMA 65B": "LLaMA 65B",
            "minitrain": "this course's GPT",
            "own": "your own numbers",
        },
        handles={
            "learning_rate": "peak learning rate",
            "weight_decay": "weight decay",
            "batch_size": "batch, in tokens or examples",
            "data": "data of the run, in the same unit",
            "warmup": "warm-up, as a share of the run",
            "cosine": "end of the cosine, as a share of the run",
            "final_fraction": "final learning rate, as a share of the peak",
        },
        charts={
            "kept": "What is left of the start",
            "memory": "How much each step counts in the result (1: all alike)",
        },
        x="% of the run",
        rows={
            "steps": "steps: D/B",
            "timescale": "timescale 1/(ηλ), in steps",
            "tau": "τ: timescale, as a share of the run",
            "total": "timescales in the run: λ Σηₜ",
            "left": "left of the start, in %",
        },
        status="The run is {total} timescales long; {left} % of the start is left.",
    ),
    "es": Texts(
        title="Cuánto recuerda una ejecución",
        choice="Receta",
        choices={
            "GPT-3 Small": "GPT-3 Small",
            "GPT-3 175B": "GPT-3 175B",
            "LLaMA 7B": "LLaMA 7B",
            "LLaMA 65B": "LLaMA 65B",
            "minitrain": "el GPT del curso",
            "own": "tus propios números",
        },
        handles={
            "learning_rate": "tasa de aprendizaje máxima",
            "weight_decay": "decaimiento de pesos",
            "batch_size": "lote, en tokens o en ejemplos",
            "data": "datos de la ejecución, en la misma unidad",
            "warmup": "calentamiento, como proporción de la ejecución",
            "cosine": "fin del coseno, como proporción de la ejecución",
            "final_fraction": "tasa final, como proporción de la máxima",
        },
        charts={
            "kept": "Lo que queda del valor inicial",
            "memory": "Cuánto cuenta cada paso en el resultado (1: todos por igual)",
        },
        x="% de la ejecución",
        rows={
            "steps": "pasos: D/B",
            "timescale": "escala de tiempo 1/(ηλ), en pasos",
            "tau": "τ: escala de tiempo, como proporción de la ejecución",
            "total": "escalas de tiempo en la ejecución: λ Σηₜ",
            "left": "queda del valor inicial, en %",
        },
        status="La ejecución dura {total} escalas de tiempo; queda el {left} % del valor inicial.",
    ),
}
