"""Repository and launch buttons, if the environment says where the book is published.

``BOOK_REPOSITORY_URL``
    such as ``https://github.com/owner/name``: adds the buttons that lead to the repository and
    open the page's notebook in JupyterLab on Binder.
``BOOK_REPOSITORY_BRANCH``
    the branch, ``main`` if not given.
``BOOK_BASE_URL``
    where the site is served: makes canonical and alternate links absolute.

Without them the site links to no repository: a copy of the book invents no address.
"""

from __future__ import annotations

import os

from sphinx.application import Sphinx
from sphinx.config import Config


def on_config_inited(_app: Sphinx, config: Config) -> None:
    """Set the theme's options from the environment."""
    options = config.html_theme_options
    url = os.environ.get("BOOK_REPOSITORY_URL", "")
    if url:
        options.update(
            repository_url=url,
            repository_branch=os.environ.get("BOOK_REPOSITORY_BRANCH", "main"),
            path_to_docs="book",
            use_repository_button=True,
            use_issues_button=True,
            launch_buttons={
                "binderhub_url": "https://mybinder.org",
                "notebook_interface": "jupyterlab",
            },
        )
    else:
        options.update(repository_url="", launch_buttons={})
    if base := os.environ.get("BOOK_BASE_URL"):
        config.html_baseurl = base


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.connect("config-inited", on_config_inited)
