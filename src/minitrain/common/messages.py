"""What the library says about bad input, in both languages of the course, under one key each."""

import os
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENGLISH = "en"
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
LONGEST_VALUE = 80  # characters of a value that a message shows

MESSAGES: dict[str, dict[str, str]] = {
    "en": {
        # how the others are put together
        "at": "{source}: {reason}",
        "field": "{source}: {field}: {reason}",
        "got": "{reason} (got {value})",
        "did_you_mean": "{reason}; did you mean {name}?",
        # values of a config
        "unknown_key": "unknown key",
        "section": "is a section, not a value",
        "no_section": "expected keys and values",
        "no_value": "expected a value, not keys and values",
        "key_is_no_name": "expected a name as the key",
        "twice": "is there twice",
        "whole_number": "expected a whole number",
        "number": "expected a number",
        "point": "expected a number, with a point before its decimals",
        "truth": "expected true or false",
        "text": "expected text",
        "one_of": "expected {expected}",
        "finite": "expected a finite number",
        "at_least": "expected {limit} or more",
        "more_than": "expected more than {limit}",
        "at_most": "expected {limit} or less",
        "less_than": "expected less than {limit}",
        "list": "expected a list",
        "too_few": "expected a list of {limit} values",
        "too_many": "expected a list of {limit} values",
        "not_valid": "not a valid value: {detail}",
        "heads": "n_head={n_head} does not divide d_model={d_model}",
        "warmup": "schedule.warmup_steps={warmup_steps} leaves nothing of steps={steps}",
        "memory": "needs about {need} GiB of memory, more than the {most} that a run may take:"
        " model.n_layer={n_layer}, model.d_model={d_model}, model.n_head={n_head},"
        " batch_size={batch_size}, steps={steps}",
        # YAML and its files
        "not_yaml": "not YAML: {detail}",
        "yaml_anchor": "no anchors and no aliases (line {line})",
        "yaml_tag": "no tags (line {line})",
        "yaml_twice": "the key {name} is there twice (line {line})",
        "yaml_key": "a key must be a name (line {line})",
        "yaml_deep": "more than {limit} levels (line {line})",
        "yaml_documents": "more than one document (line {line})",
        "yaml_number": "a number of this form: {value}, line {line}; quote it if it is text",
        "yaml_long": "more than {limit} characters",
        "yaml_syntax": "line {line}, column {column}: {detail}",
        "no_file": "no such file",
        "not_regular": "is not a file that can be read",
        "unreadable": "{detail}",
        "is_folder": "Is a directory",
        "utf8": "not YAML: is not UTF-8",
        "key_value": "expected KEY=VALUE",
        "no_text": "expected text",
        # experiments
        "no_variant": "no variant {name}; it has {known}",
        "no_break": "no variant {name} with a fault; it has {known}",
        "no_breaks": "has no variant with a fault",
        "experiment_name": "not the name of an experiment: letters, digits and . _ - only, at most"
        " {limit}",
        "variant_name": "not the name of a variant: letters, digits and . _ - only, at most"
        " {limit}",
        "experiment_keys": "expected the keys {keys}, got {value}",
        "one_variant": "expected at least one variant",
        "list_of_values": "expected a list of values",
        "grid_lists": "expected a list of values for each key",
        "seed_lists": "expected a list for each variant",
        "seeds_own_list": "seed: seeds have a list of their own",
        "names_of_variants": "expected names of variants",
        "names_of_faults": "expected, for each variant, the name of a fault",
        "one_leaf": "must differ from {healthy} in one leaf, or in its code",
        "case_answer": "answer {value}: expected a line such as grid.py:12, KEY=VALUE or nothing",
        "no_function": "expected a function written in a cell or a file, got {value}",
        "other_function": "expected a function called {name}, got {value}",
        "no_place": "expected a function of the training code, such as optim.Adam.step,"
        " got {value}",
        "no_python": "this is not Python: {detail}",
        "no_line": "{place}: the training code has no such line",
        "no_instrument": "no instrument is called {name}; there are {known}",
        "variant_sets_it": "{variant} sets it too",
        "sweep_sets_it": "the sweep sets it; give its values with {option}",
        "too_many_runs": "{number} runs, more than {limit}",
        "not_one_run": "a variant and a seed do not name one run",
        # what is asked of a model
        "prompt_text": "prompt: expected text",
        "prompt_empty": "prompt: expected at least one character",
        "prompt_long": "prompt: {length} characters do not fit into the context of {context}",
        "prompt_unknown": "prompt: not in the vocabulary: {unknown}",
        "temperature": "temperature: expected 0 or more",
        "generator": "temperature: to draw needs a generator",
        # while runs are trained
        "runs": "{finished}/{total} runs trained",
        "runs_left": "{finished}/{total} runs trained, {left} left",
        "runs_done": "{total}/{total} runs trained",
        "about_seconds": "about {seconds} s",
        "about_minutes": "about {minutes} min",
        # the panel
        "out_of_memory": "there is not enough memory for this run",
    },
    "es": {
        "at": "{source}: {reason}",
        "field": "{source}: {field}: {reason}",
        "got": "{reason} (aquí: {value})",
        "did_you_mean": "{reason}; ¿quizá {name}?",
        "unknown_key": "clave desconocida",
        "section": "es una sección, no un valor",
        "no_section": "aquí van claves con sus valores",
        "no_value": "aquí va un valor, no claves con valores",
        "key_is_no_name": "la clave tiene que ser un nombre",
        "twice": "está dos veces",
        "whole_number": "tiene que ser un número entero",
        "number": "tiene que ser un número",
        "point": "tiene que ser un número, con un punto antes de los decimales",
        "truth": "tiene que ser true o false",
        "text": "tiene que ser un texto",
        "one_of": "tiene que ser {expected}",
        "finite": "tiene que ser un número finito",
        "at_least": "tiene que ser {limit} o más",
        "more_than": "tiene que ser más de {limit}",
        "at_most": "tiene que ser {limit} o menos",
        "less_than": "tiene que ser menos de {limit}",
        "list": "tiene que ser una lista",
        "too_few": "tiene que ser una lista de {limit} valores",
        "too_many": "tiene que ser una lista de {limit} valores",
        "not_valid": "no es un valor válido",
        "heads": "n_head={n_head} no divide a d_model={d_model}",
        "warmup": "schedule.warmup_steps={warmup_steps} no deja nada de steps={steps}",
        "memory": "necesita unos {need} GiB de memoria, más de los {most} que puede ocupar una"
        " ejecución: model.n_layer={n_layer}, model.d_model={d_model}, model.n_head={n_head},"
        " batch_size={batch_size}, steps={steps}",
        "not_yaml": "no es YAML: {detail}",
        "yaml_anchor": "no se admiten anclas ni alias (línea {line})",
        "yaml_tag": "no se admiten etiquetas (línea {line})",
        "yaml_twice": "la clave {name} está dos veces (línea {line})",
        "yaml_key": "una clave tiene que ser un nombre (línea {line})",
        "yaml_deep": "más de {limit} niveles (línea {line})",
        "yaml_documents": "más de un documento (línea {line})",
        "yaml_number": "un número escrito así: {value}, línea {line}; si es texto, va entre"
        " comillas",
        "yaml_long": "más de {limit} caracteres",
        "yaml_syntax": "línea {line}, columna {column}: algo está mal escrito ahí o justo antes",
        "no_file": "no existe ese archivo",
        "not_regular": "no es un archivo que se pueda leer",
        "unreadable": "no se puede leer: {detail}",
        "is_folder": "es una carpeta",
        "utf8": "no es YAML: no está en UTF-8",
        "key_value": "tiene que ser CLAVE=VALOR",
        "no_text": "tiene que ser un texto",
        "no_variant": "no hay variante {name}; hay {known}",
        "no_break": "no hay variante {name} con un fallo; hay {known}",
        "no_breaks": "no tiene ninguna variante con un fallo",
        "experiment_name": "no es un nombre de experimento: solo letras, cifras y . _ -, como"
        " mucho {limit}",
        "variant_name": "no es un nombre de variante: solo letras, cifras y . _ -, como mucho"
        " {limit}",
        "experiment_keys": "aquí van las claves {keys}, no {value}",
        "one_variant": "hace falta al menos una variante",
        "list_of_values": "tiene que ser una lista de valores",
        "grid_lists": "hace falta una lista de valores para cada clave",
        "seed_lists": "hace falta una lista para cada variante",
        "seeds_own_list": "seed: las semillas tienen su propia lista",
        "names_of_variants": "aquí van nombres de variantes",
        "names_of_faults": "aquí va, para cada variante, el nombre de una avería",
        "one_leaf": "tiene que diferir de {healthy} en una sola hoja, o en su código",
        "case_answer": "respuesta {value}: aquí va una línea, como grid.py:12, CLAVE=VALOR o nada",
        "no_function": "aquí va una función escrita en una celda o en un archivo, no {value}",
        "other_function": "aquí va una función llamada {name}, no {value}",
        "no_place": "aquí va una función del código de entrenamiento, como optim.Adam.step,"
        " no {value}",
        "no_python": "esto no es Python: {detail}",
        "no_line": "{place}: el código de entrenamiento no tiene esa línea",
        "no_instrument": "ningún instrumento se llama {name}; hay {known}",
        "variant_sets_it": "también la fija {variant}",
        "sweep_sets_it": "la fija el barrido; da sus valores con {option}",
        "too_many_runs": "{number} ejecuciones, más de {limit}",
        "not_one_run": "una variante y una semilla no bastan para nombrar una ejecución",
        "prompt_text": "prompt: tiene que ser un texto",
        "prompt_empty": "prompt: hace falta al menos un carácter",
        "prompt_long": "prompt: {length} caracteres no caben en el contexto, que es de {context}",
        "prompt_unknown": "prompt: no está en el vocabulario: {unknown}",
        "temperature": "temperature: tiene que ser 0 o más",
        "generator": "temperature: para sortear hace falta un generador",
        "runs": "{finished}/{total} ejecuciones entrenadas",
        "runs_left": "{finished}/{total} ejecuciones entrenadas, faltan {left}",
        "runs_done": "{total}/{total} ejecuciones entrenadas",
        "about_seconds": "unos {seconds} s",
        "about_minutes": "unos {minutes} min",
        "out_of_memory": "no hay memoria suficiente para esta ejecución",
    },
}


def session_language() -> str | None:
    """The language of the notebook that a reader has open in JupyterLab; None in a build.

    Jupyter Server names the notebook in the kernel's environment; nbclient and nbval do not.
    """
    notebook = os.environ.get("JPY_SESSION_NAME")
    if notebook is None:
        return None
    return next((part for part in reversed(Path(notebook).parts) if part in MESSAGES), ENGLISH)


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = LONGEST_VALUE
_repr.maxlevel = 3


@dataclass(frozen=True)
class Message:
    """A sentence that is not yet in any language; its values may be messages too."""

    key: str
    values: Mapping[str, Any]

    def text(self, language: str = ENGLISH) -> str:
        """The sentence in a language of `MESSAGES`."""
        filled = {
            name: value.text(language) if isinstance(value, Message) else str(value)
            for name, value in self.values.items()
        }
        return MESSAGES[language][self.key].format(**filled)


def say(key: str, **values: Any) -> Message:
    """The message under `key`, with what its braces stand for."""
    return Message(key, values)


def no_number(value: object) -> Message:
    """What to say of a value that is no number: of 0,1 that a point is wanted."""
    return say("point" if _DECIMAL_COMMA.fullmatch(str(value).strip()) else "number")


def got(reason: Message, value: object) -> Message:
    """`reason`, and the value that is at fault."""
    return say("got", reason=reason, value=shown(value))


def shown(value: object) -> str:
    """A value as a message shows it: its `repr`, cut to about `LONGEST_VALUE` characters."""
    try:
        text = _repr.repr(value)
    except Exception:  # such as an integer with more digits than Python will print
        text = f"<{type(value).__name__}>"
    return shortened(text)


def shortened(text: str, longest: int = LONGEST_VALUE) -> str:
    """`text` without its middle, if it is long."""
    half = (longest - 3) // 2
    return text if len(text) <= longest else f"{text[:half]}...{text[-half:]}"
