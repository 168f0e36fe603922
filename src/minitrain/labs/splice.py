"""A reader's version of a function, put in the place of the one in the training's sources."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from minitrain.common.errors import UserError
from minitrain.common.messages import say, shown

PACKAGE = "minitrain.training"


def source_of(sources: Mapping[str, str], place: str) -> str:
    """The definition at `place`, ``"optim.Adam.step"``, as it stands there, without its indent."""
    module, node = _find(sources, place)
    lines = sources[module].splitlines()[_begin(node) : node.end_lineno]
    return textwrap.dedent("\n".join(lines)) + "\n"


def spliced(sources: Mapping[str, str], place: str, function: Callable[..., Any]) -> dict[str, str]:
    """The sources with the definition at `place` replaced by that of `function`.

    Raises `UserError` for a place that there is not, for something that is no function with a
    source, and for one of another name.
    """
    module, node = _find(sources, place)
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise UserError(say("no_function", value=shown(function))) from None
    name = place.rpartition(".")[2]
    if getattr(function, "__name__", None) != name:
        raise UserError(say("other_function", name=name, value=shown(function)))
    lines = sources[module].splitlines()
    lines[_begin(node) : node.end_lineno] = textwrap.indent(
        text, " " * node.col_offset
    ).splitlines()
    return {**sources, module: "\n".join(lines) + "\n"}


def _find(sources: Mapping[str, str], place: str) -> tuple[str, ast.FunctionDef]:
    file, *names = place.split(".")
    module = f"{PACKAGE}.{file}"
    if module not in sources:
        raise UserError(say("no_place", value=shown(place)))
    node: ast.AST = ast.parse(sources[module])
    for name in names:
        found = [
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.ClassDef | ast.FunctionDef) and child.name == name
        ]
        if not found:
            raise UserError(say("no_place", value=shown(place)))
        node = found[0]
    if not isinstance(node, ast.FunctionDef):
        raise UserError(say("no_place", value=shown(place)))
    return module, node


def _begin(node: ast.FunctionDef) -> int:
    """The index of its first line, decorators included."""
    return min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
