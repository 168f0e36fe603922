"""One search per language: its own page, index, stemmer and stop words.

Sphinx makes one search page with one index in one language. This module switches that off and
writes, for each language, a page ``search-<language>.html`` and the scripts
``_static/search/<language>/{searchindex,language_data}.js``. Templates ask for Sphinx's file names
through ``pathto``; on each page these names lead to the files of the page's language.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from jinja2 import Template
from sphinx import package_dir
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.search import IndexBuilder, js_index

from .generated import expand
from .languages import DEFAULT_LANGUAGE, LANGUAGES, SEARCH_PAGES, language_of
from .strings import STRINGS

FOLDER = "_static/search"
PER_LANGUAGE = ("searchindex.js", "_static/language_data.js", "_static/translations.js")
TABLES = (
    "_titles",
    "_filenames",
    "_mapping",
    "_title_mapping",
    "_all_titles",
    "_index_entries",
    "_objtypes",
    "_objnames",
)


# Whoever searches may leave accents out. The tilde of ñ stays: another letter, another word.
FOLDED = {"á": "a", "é": "e", "í": "i", "ó": "o", "ú": "u", "ü": "u"}
FOLD = str.maketrans(FOLDED)
# The same for what is typed. Sphinx's stemmer in the browser is older than the one that makes the
# index: it knows these two endings with their accents only.
FOLD_IN_BROWSER = """
var Unfolded = Stemmer;
Stemmer = function () {
  const folded = FOLDED, stemmer = new Unfolded();
  this.stemWord = (word) => stemmer.stemWord(
    word.replace(/[^ -~]/g, (c) => folded[c] || c).replace(/(ac|uc)ion$/, "$1ión")
  );
};
"""


def new_index(env: BuildEnvironment, language: str) -> IndexBuilder:
    """An empty index with the stemmer and stop words of one language; its words lose accents."""
    index = IndexBuilder(env, language, {}, "")
    stem = index.lang.stem
    # Each word once: stemming all of them takes seconds.
    index.lang.stem = cache(  # type: ignore[method-assign]
        lambda word: stem(word.lower().translate(FOLD))
    )
    for table in TABLES:
        # Every IndexBuilder of an environment writes into the same tables; ours need their own.
        setattr(index, table, {})
    return index


def fill(index: IndexBuilder, app: Sphinx, language: str) -> None:
    """Index all pages of one language."""
    env = app.env
    for docname in sorted(env.found_docs):
        if language_of(docname) == language:
            title = env.titles[docname].astext()
            doctree = env.get_doctree(docname)
            expand(app, docname, doctree)
            index.feed(docname, env.doc2path(docname, False), title, doctree)


def pages_read(env: BuildEnvironment, language: str) -> str:
    """When each page of a language was read."""
    doctrees = Path(env.doctreedir)
    times = [
        f"{docname} {(doctrees / f'{docname}.doctree').stat().st_mtime_ns}"
        for docname in sorted(env.found_docs)
        if language_of(docname) == language
    ]
    return "\n".join(times)


def write_scripts(index: IndexBuilder, folder: Path, language: str) -> None:
    """Write what the search page of one language loads."""
    folder.mkdir(parents=True, exist_ok=True)
    data = index.freeze()
    # Objects (labels of all languages) are not text; a search for words is what readers expect.
    (folder / "searchindex.js").write_text(js_index.dumps(data), encoding="utf-8")
    template = Path(package_dir, "themes/basic/static/language_data.js.jinja")
    script = Template(template.read_text(encoding="utf-8")).render(index.context_for_searchtool())
    script += FOLD_IN_BROWSER.replace("FOLDED", json.dumps(FOLDED, ensure_ascii=False))
    (folder / "language_data.js").write_text(script, encoding="utf-8")
    translated = Path(package_dir, "locale", language, "LC_MESSAGES", "sphinx.js")
    texts = translated.read_text(encoding="utf-8") if translated.exists() else ""
    ours = {
        "locale": language,
        "messages": STRINGS[language].search_messages,
        "plural_expr": "n == 1 ? 0 : 1",
    }
    texts += f"\nDocumentation.addTranslations({json.dumps(ours, ensure_ascii=False, indent=1)});\n"
    (folder / "translations.js").write_text(texts, encoding="utf-8")


def on_builder_inited(app: Sphinx) -> None:
    """Switch Sphinx's own search off."""
    app.builder.search = False  # type: ignore[attr-defined]


def on_collect_pages(_app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Add one search page per language."""
    for page in SEARCH_PAGES.values():
        yield page, {}, "course-search.html"


def localized(pathto: Callable[..., str], language: str) -> Callable[..., str]:
    """``pathto`` with Sphinx's names for the search leading to those of ``language``."""

    def path_to(name: str, *args: Any, **kwargs: Any) -> str:
        if name == "search":
            name = SEARCH_PAGES[language]
        elif name in PER_LANGUAGE:
            name = f"{FOLDER}/{language}/{name.rsplit('/', 1)[-1]}"
        return pathto(name, *args, **kwargs)

    return path_to


def on_page_context(
    app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _tree: nodes.document
) -> None:
    """Lead the page's search to its own language."""
    language = language_of(pagename) or DEFAULT_LANGUAGE
    context["pathto"] = localized(context["pathto"], language)
    app.add_js_file(f"search/{language}/translations.js", priority=300)


def on_build_finished(app: Sphinx, exception: Exception | None) -> None:
    """Write the index of each language of which a page was read."""
    if exception is not None or app.builder.format != "html":
        return
    output = Path(app.outdir)
    for language in LANGUAGES:
        folder = output / FOLDER / language
        stamp, state = Path(app.doctreedir, f"search-{language}"), pages_read(app.env, language)
        done = stamp.exists() and stamp.read_text(encoding="utf-8") == state
        if not done or not (folder / "searchindex.js").exists():
            index = new_index(app.env, language)
            fill(index, app, language)
            write_scripts(index, folder, language)
            stamp.write_text(state, encoding="utf-8")
    # Written by the theme for the search that is switched off, and therefore without content.
    (output / "_static" / "language_data.js").unlink(missing_ok=True)


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("builder-inited", on_builder_inited)
    app.connect("html-collect-pages", on_collect_pages)
    app.connect("html-page-context", on_page_context, priority=950)
    app.connect("build-finished", on_build_finished)
