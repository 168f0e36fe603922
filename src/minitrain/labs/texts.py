"""Every sentence of a lab's panel, in both languages: data alone, for whatever draws the panel.

What stands in braces is filled in by whoever shows the sentence (see `fill`).
"""

from typing import Any

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        # labels
        "changes": "Your changes to the broken run, one key=value a line",
        "train": "Train",
        "stop": "Stop",
        "answer": "Your answer, key=value",
        "placeholder": "key=value",
        "check": "Check",
        "third": "Third chart",
        "yours": "yours",
        "your_changes": "your changes",
        "alt": "Gap, embedding norm and {curve}: healthy, broken and your run",
        # while something trains
        "preparing": "Getting ready…",
        "training": "Training your run…",
        "checking": "Training the repaired run, to compare fingerprints…",
        "missing": "Training the lab's own runs, which are not in the store yet…",
        "step": "step {step} of {steps}",
        "step_left": "step {step} of {steps}, {left} left",
        # how it ended
        "stopping": "Stopping after this step…",
        "stopped": "Stopped. Train again to go on from the last checkpoint.",
        "stopped_check": "Stopped before there was anything to compare. Check again to start over.",
        "result": "Fingerprint {fingerprint}, training loss {train_loss}, validation loss"
        " {val_loss}.",
        "stored": "It is kept as {address}; minitrain compare reads it.",
        "is_healthy": "That is the fingerprint of the healthy run.",
        "is_broken": "That is the fingerprint of the broken run: your changes change nothing.",
        "is_diverged": "It diverged: its training loss was {first} at the start.",
        "is_another": "It is neither the healthy run nor the broken one.",
        # the verdict on an answer
        "same": "{key}: healthy and broken both have {healthy}, so it is not this leaf.",
        "unchanged": "{key}: {broken} is the value that the broken run has already, so nothing"
        " changes.",
        "higher": "{key} is the leaf that differs, but the healthy value is higher than {typed}.",
        "lower": "{key} is the leaf that differs, but the healthy value is lower than {typed}.",
        "near_higher": "{key} is the leaf that differs, and {typed} is near: the healthy value is"
        " a little higher.",
        "near_lower": "{key} is the leaf that differs, and {typed} is near: the healthy value is"
        " a little lower.",
        "another_value": "{key} is the leaf that differs. With {typed} the run is yet another one.",
        "fixed": "Found: with this one change the broken run is the healthy one, to the last bit.",
        # around the panel
        "dead": "The panel is not connected to a kernel (it was restarted, or this notebook was"
        " just opened). Run the cells above again, then this one: Run > Run All Above Selected"
        " Cell, then Shift+Enter.",
        "your_turn": "<em>Run All</em> stops here on purpose: it is your turn. When you have your"
        " answer, or give up, select the cell below and choose <em>Run &gt; Run Selected Cell and"
        " All Below</em>; a click on the mark beside a heading unfolds its section.",
    },
    "es": {
        "changes": "Tus cambios en la ejecución rota, una clave=valor por línea",
        "train": "Entrenar",
        "stop": "Detener",
        "answer": "Tu respuesta, clave=valor",
        "placeholder": "clave=valor",
        "check": "Comprobar",
        "third": "Tercera gráfica",
        "yours": "la tuya",
        "your_changes": "tus cambios",
        "alt": "Brecha, norma del embedding y {curve}: la sana, la rota y la tuya",
        "preparing": "Preparando…",
        "training": "Tu ejecución se está entrenando…",
        "checking": "Se entrena la ejecución reparada, para comparar las huellas…",
        "missing": "Se entrenan las ejecuciones del laboratorio que aún no están guardadas…",
        "step": "paso {step} de {steps}",
        "step_left": "paso {step} de {steps}, faltan {left}",
        "stopping": "Se detendrá al terminar este paso…",
        "stopped": "Detenida. Pulsa «Entrenar» para seguir desde el último punto guardado.",
        "stopped_check": "Detenida antes de tener algo que comparar. Pulsa «Comprobar» para"
        " empezar otra vez.",
        "result": "Huella {fingerprint}, pérdida de entrenamiento {train_loss}, pérdida de"
        " validación {val_loss}.",
        "stored": "Está guardada como {address}; minitrain compare la lee.",
        "is_healthy": "Es la huella de la ejecución sana.",
        "is_broken": "Es la huella de la ejecución rota: tus cambios no cambian nada.",
        "is_diverged": "Divergió: su pérdida de entrenamiento era {first} al empezar.",
        "is_another": "No es la sana ni la rota.",
        "same": "{key}: la sana y la rota tienen {healthy}, así que no es esa hoja.",
        "unchanged": "{key}: {broken} es el valor que ya tiene la rota, así que no cambia nada.",
        "higher": "{key} es la hoja que cambia, pero el valor sano es mayor que {typed}.",
        "lower": "{key} es la hoja que cambia, pero el valor sano es menor que {typed}.",
        "near_higher": "{key} es la hoja que cambia, y {typed} está cerca: el valor sano es un"
        " poco mayor.",
        "near_lower": "{key} es la hoja que cambia, y {typed} está cerca: el valor sano es un"
        " poco menor.",
        "another_value": "{key} es la hoja que cambia. Con {typed} sale una ejecución que"
        " no es la sana.",
        "fixed": "Encontrado: con este único cambio, la ejecución rota es la sana, bit a bit.",
        "dead": "El panel no está conectado a ningún kernel (se reinició, o acabas de abrir este"
        " cuaderno). Ejecuta de nuevo las celdas de arriba y después esta: Run > Run All Above"
        " Selected Cell y luego Shift+Enter.",
        "your_turn": "<em>Run All</em> se detiene aquí a propósito: es tu turno. Cuando tengas tu"
        " respuesta, o te rindas, selecciona la celda de abajo y elige <em>Run &gt; Run Selected"
        " Cell and All Below</em>; un clic en la marca junto a un título despliega su sección.",
    },
}


def fill(language: str, sentence: str, /, **values: Any) -> str:
    """The sentence of that name, with what its braces stand for."""
    return TEXTS[language][sentence].format(**values)
