"""What each leaf of a config may be, as data: for a form that is not written in Python.

Types, bounds and choices are those of `Config` itself; nothing is said twice.
"""

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from minitrain.training.config import Config

BOUNDS = ("ge", "gt", "le", "lt")

Rule = dict[str, Any]
"""``type``: "int", "float", "bool", "choice" or "list". ``choices`` of a choice, the rules ``of``
the values of a list. Each bound that there is, and as ``ge_text`` how a message writes it.
``nullable``: whether null is a value too."""


def rules(section: type[BaseModel] = Config, prefix: str = "") -> dict[str, Rule]:
    """The rule of every leaf, by dotted key, in the order of the config."""
    found: dict[str, Rule] = {}
    for name, field in section.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= rules(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = _rule(kind, field.metadata)
    return found


def _rule(kind: Any, metadata: list[Any]) -> Rule:
    if type(None) in get_args(kind):
        (inner,) = (one for one in get_args(kind) if one is not type(None))
        return _rule(inner, metadata) | {"nullable": True}
    if hasattr(kind, "__metadata__"):
        return _rule(kind.__origin__, [*metadata, *kind.__metadata__])
    if get_origin(kind) is Literal:
        return {"type": "choice", "choices": list(get_args(kind))}
    if get_origin(kind) is tuple:
        return {"type": "list", "of": [_rule(one, []) for one in get_args(kind)]}
    return {"type": kind.__name__} | _bounds(metadata)


def _bounds(metadata: list[Any]) -> Rule:
    found: Rule = {}
    for constraint in metadata:
        # A `Field` in an annotation holds its constraints, a field's own metadata is them.
        for one in getattr(constraint, "metadata", [constraint]):
            for bound in BOUNDS:
                limit = getattr(one, bound, None)
                if limit is not None:
                    text = f"{limit:g}" if isinstance(limit, float) else str(limit)
                    found |= {bound: limit, f"{bound}_text": text}
    return found
