"""What only the panel in the page says (the directive ``{trainer}``); the rest is in `texts`.

What stands in braces is filled in by the page.
"""

PAGE: dict[str, dict[str, str]] = {
    "en": {
        "off": "Here would be a panel that trains the model in your browser. It needs JavaScript"
        " and WebAssembly, and one of them is missing.",
        "in_notebook": "On the book's page there is a panel here, which trains in the browser.",
        "title": "Train it in this page",
        "title_lab": "Your turn, in this page",
        "as_it_is": "The config is that of {name}; there is nothing to set.",
        "the_rest": "All else is as in {name}: {steps} steps, batches of {batch_size}.",
        "pause": "Pause",
        "resume": "Go on",
        "runs": "Your runs",
        "run": "run {number}",
        "unchanged_run": "as it is",
        "show": "Draw {run}",
        "of_run": "{action}: {run}",
        "waiting": "Waiting for a free core…",
        "running": "step {step} of {steps}, {rate} steps a second, {left} left",
        "paused": "Paused at step {step} of {steps}.",
        "stopped_run": "Stopped at step {step} of {steps}.",
        "unfinished": "Not finished when you left the page. Train it again from its first step.",
        "seeded": "{variant}, seed {seed}",
        "is_book": "That is the fingerprint of the book's run {name}.",
        "is_new": "The book shows no run with this fingerprint: it is yours alone.",
        "diverged_run": "It diverged.",
        "hot": "Above a learning rate of {limit}, a parameter may land one step of the grid beside"
        " PyTorch's, and then the fingerprint is another.",
        "download": "run.json",
        "link": "Copy link",
        "copied": "Link copied.",
        "in_address": "The link is in the address bar.",
        "remove": "Remove",
        "clear": "Remove all",
        "reset": "Reset",
        "kept": "Runs stay in this browser.",
        "not_kept": "This browser keeps no more runs: remove some, or download what you need.",
        "curve": "Curve",
        "table": "The values as a table",
        "step_axis": "step",
        "map": "{quantity} after the last step. Book: mean over its seeds. In bold: yours.",
        "covers": "The page trains float64 on the grid, without autocast. Everything else is for"
        " JupyterLab.",
        "too_much_memory": "This run needs more than the 1 GiB of memory that the page may take.",
        "failed": "The training did not start in this browser: {detail}",
    },
    "es": {
        "off": "Aquí iría un panel que entrena el modelo en tu navegador. Necesita JavaScript y"
        " WebAssembly, y falta uno de los dos.",
        "in_notebook": "En la página del libro hay aquí un panel que entrena en el navegador.",
        "title": "Entrénalo en esta página",
        "title_lab": "Tu turno, en esta página",
        "as_it_is": "La configuración es la de {name}; no hay nada que ajustar.",
        "the_rest": "Lo demás es como en {name}: {steps} pasos, lotes de {batch_size}.",
        "pause": "Pausar",
        "resume": "Reanudar",
        "runs": "Tus ejecuciones",
        "run": "ejecución {number}",
        "unchanged_run": "tal cual",
        "show": "Dibujar {run}",
        "of_run": "{action}: {run}",
        "waiting": "Esperando un núcleo libre…",
        "running": "paso {step} de {steps}, {rate} pasos por segundo, faltan {left}",
        "paused": "En pausa en el paso {step} de {steps}.",
        "stopped_run": "Detenida en el paso {step} de {steps}.",
        "unfinished": "No había terminado cuando saliste de la página. Entrénala de nuevo desde el"
        " primer paso.",
        "seeded": "{variant}, semilla {seed}",
        "is_book": "Es la huella de la ejecución {name} del libro.",
        "is_new": "Ninguna ejecución del libro tiene esta huella: es solo tuya.",
        "diverged_run": "Divergió.",
        "hot": "Con una tasa de aprendizaje superior a {limit}, un parámetro puede quedar a una"
        " celda de la rejilla del de PyTorch, y entonces la huella es otra.",
        "download": "run.json",
        "link": "Copiar enlace",
        "copied": "Enlace copiado.",
        "in_address": "El enlace está en la barra de direcciones.",
        "remove": "Quitar",
        "clear": "Quitarlas todas",
        "reset": "Restablecer",
        "kept": "Las ejecuciones se quedan en este navegador.",
        "not_kept": "En este navegador no caben más ejecuciones: quita alguna, o descarga lo que"
        " necesites.",
        "curve": "Curva",
        "table": "Los valores en una tabla",
        "step_axis": "paso",
        "map": "{quantity} tras el último paso. Libro: media de sus semillas. En negrita: las"
        " tuyas.",
        "covers": "La página entrena en float64 sobre la rejilla, sin autocast. Todo lo demás se"
        " entrena en JupyterLab.",
        "too_much_memory": "Esta ejecución necesita más del GiB de memoria que puede ocupar la"
        " página.",
        "failed": "El entrenamiento no arrancó en este navegador: {detail}",
    },
}
