"""Which language a page belongs to, and which page is its twin.

The course has two trees per language: chapters in ``<language>/...`` and labs in
``labs/<language>/...``. Twins differ in that one path component and in nothing else.
"""

from __future__ import annotations

LANGUAGES = ("en", "es")
DEFAULT_LANGUAGE = "en"
DOOR = "index"
"""The page that belongs to no language: it lets the reader choose one."""
HOME_PAGE = "how-to-use"
"""The first page of each language's tree."""
SEARCH_PAGES = {language: f"search-{language}" for language in LANGUAGES}


def language_of(docname: str) -> str | None:
    """The language of a page, or None for the door and for pages Sphinx makes itself.

    >>> language_of("es/how-to-use"), language_of("labs/en/18-x"), language_of("index")
    ('es', 'en', None)
    """
    for language, page in SEARCH_PAGES.items():
        if docname == page:
            return language
    position = _language_position(docname)
    return None if position is None else docname.split("/")[position]


def twin_of(docname: str, language: str) -> str | None:
    """The page that says in ``language`` what ``docname`` says; None if there can be none.

    >>> twin_of("labs/en/18-x", "es")
    'labs/es/18-x'
    """
    if docname in SEARCH_PAGES.values():
        return SEARCH_PAGES[language]
    if docname == DOOR:
        return f"{language}/{HOME_PAGE}"
    position = _language_position(docname)
    if position is None:
        return None
    parts = docname.split("/")
    parts[position] = language
    return "/".join(parts)


def _language_position(docname: str) -> int | None:
    parts = docname.split("/")
    position = 1 if parts[0] == "labs" else 0
    if len(parts) > position + 1 and parts[position] in LANGUAGES:
        return position
    return None
