"""What the names of a module mean: descriptions that are equal for what behaves the same.

A module that is executed twice holds two functions, two classes and two dicts for one definition.
Their descriptions compare equal; that of anything that was replaced or changed in place does not.
"""

from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

# Of a class: what Python keeps there for itself, and what is about its text only.
_NOT_BEHAVIOUR = {
    *("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "_abc_impl"),
    *("__dataclass_fields__", "__dataclass_params__", "__static_attributes__", "__firstlineno__"),
    *("__annotate__", "__annotate_func__", "__annotations_cache__"),
}
_EMPTY = object()  # the content of a cell that has none


class Watch:
    """What a description was made from. Whether it is still the same is quick to see: where every
    object is the same object, nothing need be described again.
    """

    def __init__(self) -> None:
        self.namespaces: list[tuple[Any, dict[str, Any]]] = []
        self.functions: list[FunctionType] = []
        self.containers: list[tuple[Any, list[Any]]] = []
        self.parts: list[Any] | None = None

    def add(self, value: Any) -> None:
        """Something that can be changed where it is."""
        match value:
            case ModuleType() | type():
                self.namespaces.append((value, dict(vars(value))))
            case FunctionType():
                self.functions.append(value)
            case dict() | list() | set():
                self.containers.append((value, _contents(value)))

    def still(self) -> bool:
        """Whether nothing has been changed. The first call, too, looks at what was added."""
        parts = [_parts(function) for function in self.functions]
        if self.parts is None:
            self.parts = parts
        return (
            parts == self.parts
            and all(vars(value) == before for value, before in self.namespaces)
            and all(_contents(value) == before for value, before in self.containers)
        )


def _parts(function: FunctionType) -> Any:
    return (
        function.__code__,
        function.__defaults__,
        function.__kwdefaults__ and dict(function.__kwdefaults__),
        function.__closure__ and tuple(_content(cell) for cell in function.__closure__),
    )


def _contents(container: Any) -> list[Any]:
    return list(container.items() if isinstance(container, dict) else container)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def described(modules: Sequence[ModuleType], watch: Watch) -> dict[str, Any]:
    """What every name of the modules stands for, by dotted name; classes member by member."""
    state: dict[str, Any] = {}
    describe = _Describe(watch, {module.__name__ for module in modules})
    for module in modules:
        watch.add(module)
        for name, value in vars(module).items():
            if name.startswith("__"):
                continue
            dotted = f"{module.__name__}.{name}"
            if isinstance(value, type) and value.__module__ == module.__name__:
                state[dotted] = describe.kind(value)
                for member, inner in describe.members(value):
                    state[f"{dotted}.{member}"] = inner
            else:
                state[dotted] = describe(value)
    watch.still()
    return state


class _Describe:
    """Descriptions of values, equal for what behaves the same though it was defined twice."""

    def __init__(self, watch: Watch, modules: set[str]) -> None:
        self.watch = watch
        self.modules = modules
        self.known: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        if value is None or isinstance(value, str | int | float | CodeType):
            return type(value), repr(value) if isinstance(value, float) else value
        key = id(value)
        if key not in self.known:
            self.known[key] = "itself"  # for what refers to itself
            self.known[key] = self._describe(value)
        return self.known[key]

    def _describe(self, value: Any) -> Any:
        if not isinstance(value, ModuleType | type):
            self.watch.add(value)
        match value:
            case FunctionType():
                return (
                    value.__globals__.get("__name__"),
                    value.__code__,
                    self(value.__defaults__),
                    self(value.__kwdefaults__),
                    # Not `__wrapped__`: what a decorated function calls is in its closure.
                    tuple(self._cell(cell) for cell in value.__closure__ or ()),
                )
            case type():
                if value.__module__ in self.modules:
                    return self.kind(value), tuple(self.members(value))
                return value.__module__, value.__qualname__
            case tuple() | list():
                return type(value), tuple(map(self, value))
            case dict():  # in its order, which some of the constants are about
                return dict, tuple((self(key), self(inner)) for key, inner in value.items())
            case set() | frozenset():
                return type(value), frozenset(map(self, value))
            case staticmethod() | classmethod() | MethodType():
                return type(value), self(value.__func__)
            case property():
                return property, self(value.fget), self(value.fset), self(value.fdel)
            case ModuleType():
                return ModuleType, value.__name__
        if hasattr(value, "cache_info"):  # of functools: its function cannot be exchanged
            return type(value), self(value.__wrapped__)
        if hasattr(value, "__qualname__"):  # a function written in C
            return type(value), value.__module__, value.__qualname__
        shown = repr(value)
        return type(value), None if " at 0x" in shown else shown

    def _cell(self, cell: Any) -> Any:
        content = _content(cell)
        if isinstance(content, type):  # `super()` keeps the class that the method is of
            return content.__module__, content.__qualname__
        return "empty" if content is _EMPTY else self(content)

    def kind(self, value: type) -> Any:
        """A class without its members."""
        return type(value), tuple((base.__module__, base.__qualname__) for base in value.__mro__)

    def members(self, value: type) -> Iterator[tuple[str, Any]]:
        """What a class defines itself."""
        self.watch.add(value)
        for name, member in vars(value).items():
            if name not in _NOT_BEHAVIOUR:
                yield name, self(member)
