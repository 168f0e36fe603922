"""Every text of the site that is neither a page's own prose nor in a library's catalogue."""

from __future__ import annotations

from dataclasses import dataclass

# Keys of Sphinx's searchtools.js.
_NO_HITS = (
    "Your search did not match any documents. Please make sure that all words are spelled"
    " correctly and that you've selected enough categories."
)
_HITS = "Search finished, found ${resultCount} page(s) matching the search query."


@dataclass(frozen=True)
class Strings:
    """The site's own words in one language."""

    name: str
    site_title: str
    search_prompt: str
    search_messages: dict[str, str]
    """What the search page says, in place of Sphinx's own: its texts speak of categories, and in
    Spanish they were never proof-read."""
    switch_label: str
    card_title: str
    phase: str
    kind: str
    kinds: dict[str, str]
    time: str
    minutes: str
    prerequisites: str
    objectives: str
    why: str
    skipped: str
    next: str
    papers: str
    summary_title: str
    """Title, in THIS language, of the summary that a page of the other language carries."""
    diagnosis: str
    """What unfolds all that follows a lab's hints."""
    sources: dict[str, str]
    """What the texts are called that the course grew from."""
    verdicts: dict[str, str]
    claims_columns: tuple[str, ...]
    """The columns of a chapter's table of claims."""
    claims_total: str
    map_label: str
    map_needs: str
    map_needs_nothing: str
    cited_in: str
    code_prompt_show: str
    code_prompt_hide: str
    toggle_show: str
    toggle_hide: str
    figure: str
    lowercase_references: bool
    """Whether "figure 1" inside a sentence begins with a small letter."""
    alternative_text: str


STRINGS = {
    "en": Strings(
        name="English",
        site_title="How training works and breaks",
        search_prompt="Search the course",
        search_messages={
            _NO_HITS: "No page contains what you look for. Check the spelling or see the glossary.",
            _HITS: "Pages found: ${resultCount}.",
        },
        switch_label="Language",
        card_title="This page",
        phase="Phase",
        kind="Kind",
        kinds={"theory": "theory", "lab": "break-it lab", "guide": "guide"},
        time="Time",
        minutes="min",
        prerequisites="Before you start",
        objectives="By the end you will be able to",
        why="Why it matters",
        skipped="What tutorials skip",
        next="Where to go next",
        papers="Papers",
        summary_title="In English, in one paragraph",
        diagnosis="Show the diagnosis",
        sources={
            "lab": "Lab: Break, AdamW with …",
            "adamw": "Chapter: AdamW vs Adam",
            "concept": "Page: Weight Decay & AdamW (#58)",
            "interventions": "Post 32f: Interventions, weight decay (2026)",
            "masks": "Exercise: Per-Param Weight Decay Mask",
        },
        verdicts={
            "holds": "holds",
            "part": "holds in part",
            "elsewhere": "holds under other conditions",
            "unresolved": "not resolved",
            "fails": "does not hold",
            "unmeasured": "not measured here",
        },
        claims_columns=("Source", "Claim", "Measured", "Verdict", "What holds"),
        claims_total="Total",
        map_label="Which chapter builds on which",
        map_needs="builds on",
        map_needs_nothing="a place to start",
        cited_in="Cited in",
        code_prompt_show="Show the code",
        code_prompt_hide="Hide the code",
        toggle_show="Click to show",
        toggle_hide="Click to hide",
        figure="Figure",
        lowercase_references=False,
        alternative_text="In words",
    ),
    "es": Strings(
        name="Español",
        site_title="Cómo funciona y cómo se rompe un entrenamiento",
        search_prompt="Buscar en el curso",
        search_messages={
            _NO_HITS: (
                "Ninguna página contiene lo que buscas. Revisa la ortografía o mira el glosario."
            ),
            _HITS: "Páginas encontradas: ${resultCount}.",
            "Preparing search...": "Preparando la búsqueda…",
            "Searching": "Buscando",
            "Search Results": "Resultados de la búsqueda",
        },
        switch_label="Idioma",
        card_title="Esta página",
        phase="Fase",
        kind="Tipo",
        kinds={"theory": "teoría", "lab": "laboratorio de averías", "guide": "guía"},
        time="Tiempo",
        minutes="min",
        prerequisites="Antes de empezar",
        objectives="Al terminar sabrás",
        why="Por qué importa",
        skipped="Lo que callan los tutoriales",
        next="Por dónde seguir",
        papers="Artículos",
        summary_title="En español, en un párrafo",
        diagnosis="Ver el diagnóstico",
        sources={
            "lab": "Laboratorio: Break, AdamW with …",
            "adamw": "Capítulo: AdamW vs Adam",
            "concept": "Ficha: Weight Decay & AdamW (#58)",
            "interventions": "Post 32f: Interventions, weight decay (2026)",
            "masks": "Ejercicio: Per-Param Weight Decay Mask",
        },
        verdicts={
            "holds": "se cumple",
            "part": "se cumple en parte",
            "elsewhere": "se cumple en otras condiciones",
            "unresolved": "no se resuelve",
            "fails": "no se cumple",
            "unmeasured": "no se mide aquí",
        },
        claims_columns=("Fuente", "Afirmación", "Medición", "Veredicto", "Lo que se sostiene"),
        claims_total="Total",
        map_label="Qué capítulo se apoya en cuál",
        map_needs="se apoya en",
        map_needs_nothing="puedes empezar aquí",
        cited_in="Citado en",
        code_prompt_show="Mostrar el código",
        code_prompt_hide="Ocultar el código",
        toggle_show="Pulsa para mostrar",
        toggle_hide="Pulsa para ocultar",
        figure="Figura",
        lowercase_references=True,
        alternative_text="Descripción",
    ),
}

CORRECTIONS: dict[str, dict[str, str]] = {
    "en": {"Contents": "On this page"},
    "es": {
        # Strings without an entry in the Spanish catalogues of Sphinx and of the two themes,
        # and entries there that were translated by machine.
        "Back to top": "Volver arriba",
        "Color mode": "Modo de color",
        "Contents": "En esta página",
        "Dark": "Oscuro",
        "Download notebook file": "Descargar el cuaderno",
        "Download source file": "Descargar el archivo fuente",
        "Download this page": "Descargar esta página",
        "Error": "Error",
        "Launch interactive content": "Abrir el contenido interactivo",
        "Launch on": "Abrir en",
        "Light": "Claro",
        "Main": "Principal",
        "On this page": "En esta página",
        "Open an issue": "Abrir una incidencia",
        "Open issue": "Abrir una incidencia",
        "Page": "Página",
        "Please activate JavaScript to enable the search functionality.": (
            "Activa JavaScript para poder buscar."
        ),
        "Print to PDF": "Imprimir en PDF",
        "Repository": "Repositorio",
        "Search": "Buscar",
        "Section Navigation": "Navegación de la sección",
        "Site navigation": "Navegación del sitio",
        "Skip to main content": "Saltar al contenido principal",
        "Source repositories": "Repositorios de origen",
        "Source repository": "Repositorio de origen",
        "System Settings": "Configuración del sistema",
        "Toggle primary sidebar": "Mostrar u ocultar el índice del curso",
        "Toggle secondary sidebar": "Mostrar u ocultar el índice de la página",
        "next": "siguiente",
        "next page": "página siguiente",
        "previous": "anterior",
        "previous page": "página anterior",
        "Link to this code": "Enlace a este código",
        "Link to this equation": "Enlace a esta ecuación",
        "Link to this heading": "Enlace a este título",
        "Link to this image": "Enlace a esta imagen",
        "Link to this table": "Enlace a esta tabla",
        "Link to this term": "Enlace a este término",
        "Link to this toctree": "Enlace a este índice",
        "Permalink to this code": "Enlace a este código",
        "Solution to": "Solución del",
        "Table %s": "Tabla %s",
    },
}
"""Source text -> translation, looked up before the libraries' own catalogues."""
