"""Every sentence of a bench, and those of a case that a lab does not have, in both languages; used
as those of `texts`.

What stands in braces is filled in by whoever shows the sentence.
"""

BENCH: dict[str, dict[str, str]] = {
    "en": {
        "config_diff": "Config: healthy against faulty",
        "no_difference": "No leaf differs.",
        "checks": "Checks, on the faulty runs",
        "check_about": "They are those of the chapter Ten checks, run on code and config of the"
        " faulty runs.",
        "edits": "Training under edits",
        "curves": "Another curve",
        "not_used": "No instrument used yet.",
        "used": "Instruments used, {number}: {names}. Answers: {answers}.",
        "score": "Found. Instruments: {number}; answers: {answers}.",
    },
    "es": {
        "config_diff": "Configuración: la sana frente a la averiada",
        "no_difference": "Ninguna hoja es distinta.",
        "checks": "Pruebas, sobre las ejecuciones averiadas",
        "check_about": "Son las del capítulo «Diez pruebas», hechas con el código y la"
        " configuración de las ejecuciones averiadas.",
        "edits": "Entrenar con cambios",
        "curves": "Otra curva",
        "not_used": "Aún no has usado ningún instrumento.",
        "used": "Instrumentos usados, {number}: {names}. Respuestas: {answers}.",
        "score": "Encontrado. Instrumentos: {number}; respuestas: {answers}.",
    },
}

CASE: dict[str, dict[str, str]] = {
    "en": {
        "request": "Pull request",
        "request_about": "The change that lies between the two kinds of run. A click on the number"
        " of a line makes it your answer.",
        "changes": "Your changes to the sick run's config, one key=value a line",
        "config_diff": "Config: healthy against sick",
        "checks": "Checks, on the sick runs",
        "check_about": "They are those of the chapter Ten checks, run on code and config of the"
        " sick runs.",
        "whole": "All leaves, healthy and sick:",
        "is_broken": "That is the fingerprint of the sick run: what you changed, the sick code"
        " does anyway.",
        "is_another": "It is neither the healthy run nor the sick one.",
        "beside": "With this seed, val_loss ends at {healthy} in the healthy run and at {broken}"
        " in the sick one.",
        "same": "{key}: healthy and sick both have {healthy}, so it is not this leaf.",
        "alt": "Gap, embedding norm and {curve}: healthy, sick and your run",
        "nothing": "Nothing is wrong",
        "answer": "Your answer: a line, file.py:number; or a leaf, key=value",
        "placeholder": "file.py:number",
        # of an answer
        "right_line": "That is the line. Mended, the run is the healthy one, to the last bit.",
        "right_line_of": "That is one of the {number} lines at fault. With all of them mended, the"
        " run is the healthy one, to the last bit.",
        "innocent_line": "Not {place}: the repaired code keeps this line as the pull request has"
        " it, and its run is the healthy one.",
        "cleared_line": "Not {place}: {why}",
        "unchanged_line": "Not {place}: the pull request did not write that line. The healthy code"
        " has it too.",
        "healthy_line": "Not {place}: with this line, and every other one of the pull request, the"
        " run is the same to the last bit as without.",
        "no_line": "{place}: the training code has no such line.",
        "something_wrong": "Something is: with seed {seed}, the run with the pull request ends"
        " elsewhere than the one without it.",
        "nothing_wrong": "Right. With the same seed, the run ends at the same bytes with the pull"
        " request and without it: there is nothing to repair.",
        "repaired": "Repaired: after {steps} steps it is the healthy run, to the last bit.",
        "not_repaired": "That changes nothing: after {steps} steps it is still the sick run, to the"
        " last bit.",
        "another_run": "After {steps} steps it is another run, neither the sick nor the healthy"
        " one.",
    },
    "es": {
        "request": "Pull request",
        "request_about": "El cambio que separa una clase de ejecuciones de la otra. Con un clic en"
        " el número de una línea, la conviertes en tu respuesta.",
        "changes": "Tus cambios en la configuración de la enferma, una clave=valor por línea",
        "config_diff": "Configuración: la sana frente a la enferma",
        "checks": "Pruebas, sobre las ejecuciones enfermas",
        "check_about": "Son las del capítulo «Diez pruebas», hechas con el código y la"
        " configuración de las ejecuciones enfermas.",
        "whole": "Todas las hojas, de la sana y de la enferma:",
        "is_broken": "Es la huella de la ejecución enferma: lo que has cambiado, el código enfermo"
        " ya lo hace.",
        "is_another": "No es la sana ni la enferma.",
        "beside": "Con esta semilla, val_loss termina en {healthy} en la sana y en {broken} en la"
        " enferma.",
        "same": "{key}: la sana y la enferma tienen {healthy}, así que no es esa hoja.",
        "alt": "Brecha, norma del embedding y {curve}: la sana, la enferma y la tuya",
        "nothing": "No hay nada mal",
        "answer": "Tu respuesta: una línea, archivo.py:número, o una hoja, clave=valor",
        "placeholder": "archivo.py:número",
        "right_line": "Es esa línea. Con ella corregida, la ejecución es la sana, bit a bit.",
        "right_line_of": "Es una de las {number} líneas equivocadas. Con todas corregidas, la"
        " ejecución es la sana, bit a bit.",
        "innocent_line": "No es {place}: el código reparado conserva esa línea tal como la dejó el"
        " pull request, y su ejecución es la sana.",
        "cleared_line": "No es {place}: {why}",
        "unchanged_line": "No es {place}: el pull request no escribió esa línea. También está en el"
        " código sano.",
        "healthy_line": "No es {place}: con esa línea, y con todas las demás del pull request, la"
        " ejecución es la misma que sin ellas, bit a bit.",
        "no_line": "{place}: el código de entrenamiento no tiene esa línea.",
        "something_wrong": "Algo hay: con la semilla {seed}, la ejecución con el pull request no"
        " termina en los mismos bytes que sin él.",
        "nothing_wrong": "Así es. Con la misma semilla, la ejecución termina en los mismos bytes"
        " con el pull request y sin él: no hay nada que reparar.",
        "repaired": "Reparado: al cabo de {steps} pasos es la ejecución sana, bit a bit.",
        "not_repaired": "Eso no cambia nada: al cabo de {steps} pasos sigue siendo la ejecución"
        " enferma, bit a bit.",
        "another_run": "Al cabo de {steps} pasos es otra ejecución, ni la enferma ni la sana.",
    },
}
