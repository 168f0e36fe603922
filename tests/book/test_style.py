"""Words and forms that readers stumbled over, kept out of the pages of both languages."""

from __future__ import annotations

import re

import pytest
from pages import Page, all_pages

# A pattern for each kind of finding, with what to write instead.
SPANISH = {
    r"\bcorridas?\b": "ejecución, entrenamiento (vulgar in Spain)",
    r"\bincrustaci(ón|ones)\b": "embedding",
    r"\b(ordenador|computadora)(es|s)?\b": "máquina",
    r"\blínea de órdenes\b": "línea de comandos",
    r"\bdesviaci(ón|ones) típicas?\b": "desviación estándar",
    r"\b(párate|pararse|pararnos)\b": "detente, detener el entrenamiento",
    r"\bacab(a|an|ó|aron|aba|aban|ar|ado|ará)\b": "terminar",
    r"¿?\b[Cc]ómo de (bueno|grande|largo|seguro|fuerte|lejos)": "¿Es bueno…?, cuánto",
    r"\bapagado aleatorio\b": "dropout",
    r"\bcon reemplazo\b": "con reposición",
    r"(?<!en )\bel medio\b(?! de)": "el factor ½",
    r"\bla entrada\b(?= (ordena|cierra|dice|usa|propone|supone))": "el post",
    r"\bcaso peor\b": "peor caso",
    r"\bvara fina\b": "referencia menos ruidosa",
    r"\bse distinguen? en\b": "se diferencian en, difieren en",
    r"\b(usted|ustedes|vosotros)\b": "tú",
}
ENGLISH = {
    r"\bin the mean\b": "on average",
    r"\bas good as none\b": "hardly any",
    r"\bone of the texts (that )?this course grew from\b": "the name of the source",
    r"\bholds elsewhere\b": "holds under other conditions",
}
BOTH = {
    r"(any|every|cualquier|todas? las?) (processor|procesador|machine|máquinas?)? ?x86-64": (
        "the machines that were tried"
    ),
    r"(?<![\d.,\w/-])\d{1,3}(,\d{3})+(?![\d\w])": "groups of three with narrow spaces",
}

each_page = pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.docname)


def prose(page: Page) -> str:
    """The page without its code, formulas, links and the summary in the other language."""
    text = re.sub(r"^(```+)(?!\{(admonition|note|tip|list-table|exercise|solution)).*?^\1`* *$", "",
                  page.body, flags=re.M | re.S)  # fmt: skip
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]*\$|`[^`\n]*`", " ", text, flags=re.S)
    return re.sub(r"\]\([^)]*\)|<[^>]*>", " ", text)


@each_page
def test_no_word_that_readers_stumbled_over(page: Page) -> None:
    patterns = BOTH | (SPANISH if page.language == "es" else ENGLISH)
    text = prose(page)
    found = {
        f"{match[0]!r} in {text[max(0, match.start() - 40) : match.end() + 20]!r}": instead
        for pattern, instead in patterns.items()
        for match in re.finditer(pattern, text, re.I)
    }
    assert not found
