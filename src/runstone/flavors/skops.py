"""The skops format for the estimators that most models are: written and read here, in place of the library.

A skops file is a zip of `schema.json`, which names the class of each value, and one `.npy` file an array. The
library imports all of scikit-learn before it reads one, and takes twice as long for a forest as `log_model` may.
So plain values, arrays, trees and scikit-learn's own estimators are done here, by the same rules; whatever else a
model holds, or a file names, is left to the library: then these functions say `Unfamiliar`.

Source: skops 0.16, `skops.io`, protocols 0 to 2, which do not differ in what is used here.
"""

import ast
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any

_TREE = "sklearn.tree._tree.Tree"
_DTYPE = "numpy.dtype"
# These two skops does not trust by itself: a tree's arrays are indices that nobody checks.

_PROTOCOLS = (0, 1, 2)
_SCALARS = frozenset("bool float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64".split())
_TYPES = {"builtins": {"bool": bool, "float": float, "int": int, "str": str}}
_NOT_OURS = frozenset({"conftest", "externals", "tests"})
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(rb"\{'descr': (.+), 'fortran_order': (False|True), 'shape': \(([\d, ]*)\), \} *\n")


class Unfamiliar(Exception):
    """A value or a file that is the library's matter."""


class Untrusted(Exception):
    """A type that is read only if it is named."""


# --- writing


def dumps(model: Any) -> tuple[bytes, list[str]]:
    """An estimator as a skops file, and the types in it that skops has to be told to trust.

    Raises:
        Unfamiliar: It holds what is not written here.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        writer = _Writer(archive)
        schema = writer.state(model) | {"protocol": _PROTOCOLS[0]}
        archive.writestr("schema.json", json.dumps(schema, check_circular=False))
    return buffer.getvalue(), sorted(writer.types)


class _Writer:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        from sklearn.base import BaseEstimator

        self.archive, self.types, self.estimator = archive, set[str](), BaseEstimator
        self.ids: dict[int, int] = {}
        self.kept: list[Any] = []  # an id is of one value only as long as that value lives
        self.open: set[int] = set()
        self.written: set[int] = set()
        self.plain: dict[tuple[type, Any], dict[str, Any]] = {}
        self.dtypes: dict[Any, str] = {}

    def state(self, value: Any) -> dict[str, Any]:
        kind = type(value)
        if value is None or kind in (bool, int, float, str) or isinstance(value, type):
            key = (kind, repr(value) if kind is float else value)  # 0.0 equals -0.0, and is another number
            if key not in self.plain:  # the same few values come with every tree of a forest
                self.plain[key] = self._plain(value)
            return self.plain[key]
        if id(value) not in self.ids:
            self.ids[id(value)] = len(self.kept) + 1
            self.kept.append(value)
        if id(value) in self.open:
            raise Unfamiliar("a value that holds itself")
        self.open.add(id(value))
        state = self._composed(value, kind)
        self.open.remove(id(value))
        return state | {"__id__": self.ids[id(value)]}

    def _plain(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, type):
            return _node("JsonNode", str) | {"content": json.dumps(value), "is_json": True}
        if _TYPES.get(value.__module__, {}).get(value.__name__) is not value and not _is_scalar(value):
            raise Unfamiliar(value.__name__)
        return _node("TypeNode", value)

    def _composed(self, value: Any, kind: type) -> dict[str, Any]:
        if kind is dict:
            if any(type(key) not in (str, int) for key in value):
                raise Unfamiliar("a map with odd keys")
            return _node("DictNode", kind) | {
                "content": {str(key): self.state(item) for key, item in value.items()},
                "key_types": self.state([type(key) for key in value]),
            }
        if kind is list or kind is tuple:
            node = _node("ListNode" if kind is list else "TupleNode", kind)
            return node | {"content": [self.state(item) for item in value]}
        if kind is slice:
            ends = {"start": value.start, "stop": value.stop, "step": value.step}
            if any(type(end) not in (int, str, type(None)) for end in ends.values()):
                raise Unfamiliar("a slice with odd ends")
            return _node("SliceNode", kind) | {"content": ends}
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name == "numpy.ndarray" or _is_scalar(kind):
            return self._array(value, kind)
        if kind.__module__ == "numpy.dtypes":
            import numpy

            self.types.add(_DTYPE)
            node = _node("DTypeNode", numpy.dtype)
            return node | {"content": self.state(numpy.ndarray(0, value))}
        if name == _TREE:
            self.types.add(_TREE)
            _, arguments, content = value.__reduce__()
            node = _node("TreeNode", kind) | {"content": self.state(content)}
            return node | {"__reduce__": {"args": self.state(arguments)}}
        if name == "numpy.random.mtrand.RandomState":
            return _node("RandomStateNode", kind) | {"content": self.state(value.get_state(legacy=False))}
        if _is_public(kind.__module__, kind.__qualname__) and isinstance(value, self.estimator):
            if kind.__name__ == "Birch":
                raise Unfamiliar(name)  # skops refuses it
            return _node("ObjectNode", kind) | {"content": self.state(value.__getstate__())}
        raise Unfamiliar(name)

    def _array(self, array: Any, kind: type) -> dict[str, Any]:
        import numpy

        node = _node("NdArrayNode", kind)
        if array.dtype == object:
            content = self.state(array.tolist())["content"]
            return node | {"content": content, "type": "json", "shape": self.state(array.shape)}
        if array.dtype.hasobject:
            raise Unfamiliar("an array of records that hold objects")
        file = f"{self.ids[id(array)]}.npy"
        if id(array) not in self.written:
            self.written.add(id(array))
            self.archive.writestr(file, self._npy(numpy.asanyarray(array)))
        return node | {"type": "numpy", "file": file}

    def _npy(self, array: Any) -> bytes:
        """The array as a `.npy` file; numpy's own writer spends its time on describing the same type again."""
        import numpy

        if array.dtype not in self.dtypes:
            self.dtypes[array.dtype] = repr(numpy.lib.format.dtype_to_descr(array.dtype))
        is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        header = f"{{'descr': {self.dtypes[array.dtype]}, 'fortran_order': {is_fortran}, 'shape': {array.shape}, }}"
        if not header.isascii() or len(header) > 60_000:
            raise Unfamiliar("an array of odd records")
        text = header.encode()
        text += b" " * (-(len(_MAGIC) + 3 + len(text)) % 64) + b"\n"
        return b"".join((_MAGIC, struct.pack("<H", len(text)), text, array.tobytes("F" if is_fortran else "C")))


def _node(loader: str, kind: type) -> dict[str, Any]:
    return {"__class__": kind.__name__, "__module__": kind.__module__, "__loader__": loader}


def _is_scalar(kind: type) -> bool:
    return kind.__module__ == "numpy" and kind.__name__.rstrip("_") in _SCALARS


def _is_public(module: str, name: str) -> bool:
    """Whether skops trusts an estimator of this name: scikit-learn's own, but for what it keeps to itself."""
    parts = module.split(".")
    return parts[0] == "sklearn" and not _NOT_OURS & set(parts) and name.isidentifier() and name[0] != "_"


# --- reading


def loads(data: bytes, types: Collection[str]) -> Any:
    """The estimator of a skops file; only classes that are known here to be harmless are made.

    Args:
        data: The file.
        types: Types to trust beyond skops' own.

    Raises:
        Unfamiliar: It holds what is not read here.
        Untrusted: It holds a type that has to be named, and `types` does not name it.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
        if not isinstance(schema, dict) or schema.get("protocol") not in _PROTOCOLS:
            raise Unfamiliar("another protocol")
        return _Reader(archive, types).value(schema)


def names(data: bytes) -> set[str]:
    """The modules that a skops file names."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return set(re.findall(r'"__module__": ?"([\w.]+)"', archive.read("schema.json").decode()))


class _Reader:
    def __init__(self, archive: zipfile.ZipFile, types: Collection[str]) -> None:
        self.archive, self.types = archive, types
        self.made: dict[Any, Any] = {}
        self.dtypes: dict[bytes, Any] = {}
        self.plain: dict[str, Any] = {}
        self.readers: dict[str, Callable[[dict[str, Any], str], Any]] = {
            "DTypeNode": self._dtype,
            "DictNode": self._dict,
            "JsonNode": self._plain,
            "ListNode": self._items,
            "NdArrayNode": self._array,
            "ObjectNode": self._estimator,
            "RandomStateNode": self._random_state,
            "SliceNode": lambda node, kind: slice(*(node["content"][end] for end in ("start", "stop", "step"))),
            "TreeNode": self._tree,
            "TupleNode": self._items,
            "TypeNode": self._type,
        }

    def value(self, node: dict[str, Any]) -> Any:
        key = node.get("__id__")
        if key is not None and key in self.made:
            return self.made[key]
        read = self.readers.get(node["__loader__"])
        if read is None:
            raise Unfamiliar(node["__loader__"])
        value = read(node, f"{node['__module__']}.{node['__class__']}")
        if key is not None:
            self.made[key] = value
        return value

    def _plain(self, node: dict[str, Any], kind: str) -> Any:
        text = node["content"]
        if text not in self.plain:  # the same few values come with every tree of a forest
            value = json.loads(text)
            if isinstance(value, dict | list):
                return value  # which may be changed, so it is not shared
            self.plain[text] = value
        return self.plain[text]

    def _dict(self, node: dict[str, Any], kind: str) -> Any:
        if kind != "builtins.dict":
            raise Unfamiliar(kind)
        keys = self.value(node["key_types"])
        if any(key not in (str, int) for key in keys):
            raise Unfamiliar("a map with odd keys")
        return {of(key): self.value(item) for of, (key, item) in zip(keys, node["content"].items(), strict=True)}

    def _items(self, node: dict[str, Any], kind: str) -> Any:
        if kind not in ("builtins.list", "builtins.tuple"):
            raise Unfamiliar(kind)
        items = [self.value(item) for item in node["content"]]
        return items if kind == "builtins.list" else tuple(items)

    def _array(self, node: dict[str, Any], kind: str) -> Any:
        import numpy

        if node["type"] == "json":
            shape = self.value(node["shape"])
            items = [self.value(item) for item in node["content"]]
            array = numpy.empty(len(items), dtype=object)
            array[:] = items
            return array if len(shape) == 1 else numpy.array(items, dtype=object).reshape(shape)
        array = self._npy(self.archive.read(node["file"]))
        if kind == "numpy.ndarray":
            return array
        return self._type(node, kind)(array)

    def _npy(self, data: bytes) -> Any:
        """The array of a `.npy` file; numpy's own reader spends its time on parsing the same header again."""
        import numpy

        (size,) = struct.unpack_from("<H", data, len(_MAGIC)) if len(data) > 10 else (0,)
        header = _HEADER.fullmatch(data, 10, 10 + size)
        if not data.startswith(_MAGIC) or header is None:
            return numpy.load(io.BytesIO(data), allow_pickle=False)
        described, order, shape = header.groups()
        if described not in self.dtypes:
            self.dtypes[described] = numpy.lib.format.descr_to_dtype(ast.literal_eval(described.decode("latin1")))
        dtype = self.dtypes[described]
        if dtype.hasobject:
            raise Unfamiliar("an array of objects")
        array = numpy.frombuffer(data, dtype, offset=10 + size).copy()
        dimensions = tuple(int(length) for length in shape.split(b",") if length.strip())
        return array.reshape(dimensions, order="F" if order == b"True" else "C")

    def _type(self, node: dict[str, Any], kind: str) -> Any:
        module, _, name = kind.rpartition(".")
        if module == "numpy" and name.rstrip("_") in _SCALARS:
            return getattr(import_module("numpy"), name)
        if name not in _TYPES.get(module, {}):
            raise Unfamiliar(kind)
        return _TYPES[module][name]

    def _estimator(self, node: dict[str, Any], kind: str) -> Any:
        module, _, name = kind.rpartition(".")
        if not _is_public(module, name):
            raise Unfamiliar(kind)
        from sklearn.base import BaseEstimator

        try:
            found = getattr(import_module(module), name, None)
        except ImportError as error:
            raise Unfamiliar(kind) from error
        if not (isinstance(found, type) and issubclass(found, BaseEstimator) and found.__module__ == module):
            raise Unfamiliar(kind)
        made: Any = object.__new__(found)
        made.__setstate__(self.value(node["content"]))
        return made

    def _check(self, kind: str, expected: str) -> None:
        if kind != expected:
            raise Unfamiliar(kind)
        if kind not in self.types:
            raise Untrusted(kind)

    def _dtype(self, node: dict[str, Any], kind: str) -> Any:
        self._check(kind, _DTYPE)
        return self.value(node["content"]).dtype

    def _tree(self, node: dict[str, Any], kind: str) -> Any:
        self._check(kind, _TREE)
        from sklearn.tree._tree import Tree

        tree = Tree(*self.value(node["__reduce__"]["args"]))
        tree.__setstate__(self.value(node["content"]))
        return tree

    def _random_state(self, node: dict[str, Any], kind: str) -> Any:
        import numpy

        state = numpy.random.RandomState()
        state.set_state(self.value(node["content"]))
        return state
