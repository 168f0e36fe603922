"""YAML as the course uses it: names, numbers, text, lists; nothing that means two things.

PyYAML finds the structure. What a scalar means is decided here: YAML 1.1 takes 010 for 8, 1:20 for
80, `no` for false and 1e-3 for text, and lets a key stand twice, the last one winning. Here a
number is decimal, only `true` and `false` are truth values, and a key stands once. Anchors, tags
and several documents are errors, so that a short text cannot stand for a long one.

The other way would be ruamel.yaml as YAML 1.2. It refuses doubled keys, but takes 010 for 10,
resolves aliases, builds dates, sets and octal numbers, and lets errors of Python's through for
`0x_` or deep nesting: all of that would have to be caught here as well.
"""

import re
import stat
from pathlib import Path
from typing import Any

import yaml

from minitrain.common.errors import UserError
from minitrain.common.messages import Message, say, shortened, shown

MOST_CHARACTERS = 100_000
MOST_LEVELS = 20
_MOST_DIGITS = 30  # of a whole number: beyond any field, and short enough to print

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
# What YAML 1.1 or 1.2 takes for a number in another base, or for a date: here it is an error, since
# a reader who types it may mean either.
_AMBIGUOUS = re.compile(r"[-+]?(0[0-9_]+|0[xob][0-9a-fA-F_]*|[0-9]+(:[0-5]?[0-9])+(\.[0-9_]*)?)")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


class _Refused(Exception):
    def __init__(self, message: Message):
        self.message = message


def parse(text: str, source: str) -> Any:
    """The value of a YAML text: dicts with names as keys, lists, numbers, text, truth, None.

    Raises `UserError` with one line that begins with `source`.
    """
    try:
        if len(text) > MOST_CHARACTERS:
            raise _Refused(say("yaml_long", limit=MOST_CHARACTERS))
        return _Reader(text).document()
    except _Refused as refused:
        detail = refused.message
    except yaml.MarkedYAMLError as error:
        detail = _syntax(error)
    except Exception as error:  # PyYAML lets errors of Python's through, such as those of chr()
        detail = say("not_valid", detail=shortened(str(error)))
    raise UserError(say("at", source=source, reason=say("not_yaml", detail=detail))) from None


def read(path: Path) -> Any:
    """The content of a YAML file; `UserError` if it is missing, no plain file or not YAML."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _Refused(say("is_folder"))
        if not stat.S_ISREG(mode):  # a device or a pipe might never end
            raise _Refused(say("not_regular"))
        with path.open("rb") as file:
            content = file.read(4 * MOST_CHARACTERS + 1)
        text = content.decode("utf-8")
    except _Refused as refused:
        reason = refused.message
    except FileNotFoundError:
        reason = say("no_file")
    except OSError as error:
        reason = say("unreadable", detail=error.strerror)
    except UnicodeDecodeError:
        reason = say("utf8")
    except ValueError as error:  # a null byte in the name
        reason = say("unreadable", detail=error)
    else:
        return parse(text, str(path))
    raise UserError(say("at", source=shortened(str(path), 300), reason=reason)) from None


def _syntax(error: yaml.MarkedYAMLError) -> Message:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    detail = shortened(error.problem or error.context or "")
    return say("yaml_syntax", line=line, column=column, detail=detail)


class _Reader:
    """Builds the value from PyYAML's events: there are no nodes that aliases could share."""

    def __init__(self, text: str):
        self._events = iter(yaml.parse(text, yaml.SafeLoader))

    def document(self) -> Any:
        next(self._events)  # the stream begins
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), 0)
        next(self._events)  # the document ends
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _Refused(say("yaml_documents", line=_line(event)))
        return value

    def _value(self, event: Any, depth: int) -> Any:
        _check(event)
        if depth > MOST_LEVELS:
            raise _Refused(say("yaml_deep", limit=MOST_LEVELS, line=_line(event)))
        if isinstance(event, yaml.SequenceStartEvent):
            values = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                values.append(self._value(event, depth + 1))
            return values
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(depth)
        return _scalar(event)

    def _mapping(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            _check(event)
            if not isinstance(event, yaml.ScalarEvent) or event.value == "<<":
                raise _Refused(say("yaml_key", line=_line(event)))
            if event.value in values:
                raise _Refused(say("yaml_twice", name=shown(event.value), line=_line(event)))
            values[event.value] = self._value(next(self._events), depth + 1)
        return values


def _check(event: Any) -> None:
    if getattr(event, "anchor", None) is not None:  # an alias has one too
        raise _Refused(say("yaml_anchor", line=_line(event)))
    if getattr(event, "tag", None) is not None:
        raise _Refused(say("yaml_tag", line=_line(event)))


def _line(event: Any) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.style in ("'", '"', "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _AMBIGUOUS.fullmatch(text):
        raise _Refused(say("yaml_number", value=shown(text), line=_line(event)))
    if _WHOLE.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            raise _Refused(say("yaml_number", value=shown(text), line=_line(event)))
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text
