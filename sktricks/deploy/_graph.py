"""An ONNX graph under construction: values with a dtype and a shape, and operators that connect them.

Converters build a graph from :class:`Value` objects. Each value has a dtype, so that a converter can reproduce numpy's
dtypes (scikit-learn scales in the dtype of X, trees round to float32), and the shape of one row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from .._optional import import_optional
from ._feeds import STRING

OPSET, ML_OPSET, IR_VERSION = 18, 3, 10  # supported by onnxruntime 1.18 and newer
LARGEST = 2**31  # bytes per file


@dataclass(frozen=True)
class Value:
    """A tensor in a graph, whose first axis is the rows.

    Parameters
    ----------
    name : str
    dtype : numpy dtype
        The dtype object means strings.
    shape : tuple of int
        The shape of one row: ``()`` for one number per row, ``(k,)`` for k columns.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Frame:
    """The columns of a table, each a :class:`Value` of shape ``(1,)`` with its own dtype.

    Parameters
    ----------
    columns : dict
        The values, by the column names of the DataFrame, in order.
    """

    columns: dict[str, Value]

    @property
    def shape(self) -> tuple[int]:
        """The number of columns, as the shape of one row."""
        return (len(self.columns),)

    def select(self, indices: Sequence[int]) -> Frame:
        """Return some of the columns."""
        items = list(self.columns.items())
        return Frame(dict(items[index] for index in indices))


@dataclass(frozen=True)
class Paths:
    """A column of image files; a step that knows the image size converts it to pixels with :meth:`Graph.decode`.

    Parameters
    ----------
    name : str
        The name of the column, and of the input that replaces it.
    """

    name: str
    shape = (1,)


Table = Value | Frame | Paths  # the possible inputs of a step


@dataclass(frozen=True)
class Prediction:
    """The outputs of a converted classifier or regressor.

    Parameters
    ----------
    codes : Value or None
        For a classifier, int64: the index of each row's predicted class in ``classes_``, or for multilabel targets 0
        and 1 of shape (n, labels).
    probabilities : Value or None
        (n, classes), if the estimator has ``predict_proba``.
    values : Value or None
        The predictions of a regressor, of shape (n,) or (n, outputs).
    scores : Value or None
        The result of ``decision_function``, if another converter may read it.
    """

    codes: Value | None = None
    probabilities: Value | None = None
    values: Value | None = None
    scores: Value | None = None


@dataclass
class Graph:
    """The nodes, constants and inputs of a graph, in the order in which they were added."""

    nodes: list = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    decodings: dict[str, dict] = field(default_factory=dict)  # how to decode files, by input of pixels
    nones: set[str] = field(default_factory=set)  # inputs of strings whose missing values are None, not NaN
    is_rounded: bool = False  # True if a net predicts in bfloat16, whereas its graph computes in float32
    rows_at_once: int = 2**14  # larger calls take more memory but save little time
    functions: list = field(default_factory=list)
    shared: dict[tuple, Value] = field(default_factory=dict)  # values that several steps may share, by their origin
    _scopes: list[str] = field(default_factory=list)
    _known: dict[tuple, Value] = field(default_factory=dict)
    _added: dict[tuple, list[Value]] = field(default_factory=dict)
    _count: int = 0

    # -- names -------------------------------------------------------------------------------------------------------

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix the names of all nodes added within, by the name of a step or a member."""
        self._scopes.append(str(name))
        try:
            yield
        finally:
            self._scopes.pop()

    @property
    def step(self) -> str:
        """The path of the step that is being converted, such as ``pipe/vote/forest``; empty at the top level."""
        return "/".join(self._scopes)

    def make_name(self, what: str) -> str:
        """Return a name that is unique in the graph."""
        self._count += 1
        return f"{self.step}/{what}_{self._count}" if self._scopes else f"{what}_{self._count}"

    # -- values ------------------------------------------------------------------------------------------------------

    def add_input(self, name: str, dtype, shape: Sequence[int]) -> Value:
        """Add an input to the graph, or return an existing input of this name."""
        value = Value(name, np.dtype(dtype), tuple(shape))
        if not name:
            raise ValueError("X must have named columns, got a column named '': rename it before fit")
        if value.dtype == np.longdouble != np.float64:
            raise self.refuse(f"columns of {value.dtype}", "convert X to float32 or float64")
        if value not in self.inputs:
            if any(known.name == name for known in self.inputs):
                raise ValueError(f"the graph already has an input {name!r} of another type")
            self.inputs.append(value)
        return value

    def decode(self, paths: Paths | Frame, shape: Sequence[int], **decoding) -> Value:
        """Return an input of the graph for the pixels of a column of files.

        It is uint8 of ``shape`` (height, width, channels). For a column of a DataFrame, it replaces the input of
        strings. ``decoding`` is stored in the metadata, so that :class:`OnnxModel` decodes files as ``fit`` did. Steps
        with equal decodings share an input; another decoding of the column becomes an input ``<name>_2``.
        """
        column = paths.name if isinstance(paths, Paths) else next(iter(paths.columns))
        self.inputs = [value for value in self.inputs if (value.name, value.dtype) != (column, STRING)]
        wanted = {"column": column, "shape": list(shape), **decoding}
        for name, known in self.decodings.items():
            if known == wanted:
                return next(value for value in self.inputs if value.name == name)
        others = sum(known["column"] == column for known in self.decodings.values())
        name = column if others == 0 else f"{column}_{others + 1}"
        self.decodings[name] = wanted
        return self.add_input(name, np.uint8, shape)

    def constant(self, array, dtype=None) -> Value:
        """Return an array as a value; equal arrays are stored only once."""
        array = np.asarray(array) if dtype is None else np.asarray(array, dtype)
        array = array.astype(object) if array.dtype.kind in "UO" else array
        key = (array.dtype.str, array.shape, repr(array.tolist()) if array.dtype == STRING else array.tobytes())
        if key not in self._known:
            name = self.make_name("constant")
            self.constants[name] = array
            self._known[key] = Value(name, array.dtype, array.shape[1:])
        return self._known[key]

    def op(
        self, kind: str, *inputs: Value | str, dtype, shape: Sequence[int] = (), domain: str = "", **attributes
    ) -> Value:
        """Add an operator and return its output, which has this ``dtype`` and ``shape``."""
        return self.ops(kind, *inputs, outputs=[(dtype, shape)], domain=domain, **attributes)[0]

    def ops(
        self, kind: str, *inputs: Value | str, outputs: Sequence[tuple], domain: str = "", **attributes
    ) -> list[Value]:
        """Add an operator with several outputs, given as pairs of dtype and shape, and return them.

        An operator with the same inputs is added only once: members of a vote often share their first steps.
        """
        helper = import_optional("onnx.helper", "onnx")
        names = [value.name if isinstance(value, Value) else value for value in inputs]
        node = helper.make_node(kind, names, [], domain=domain, **attributes)
        key = node.SerializeToString(deterministic=True), str(outputs)
        if key not in self._added:
            values = [Value(self.make_name(kind), np.dtype(dtype), tuple(shape)) for dtype, shape in outputs]
            node.name = values[0].name
            node.output.extend(value.name for value in values)
            self.nodes.append(node)
            self._added[key] = values
        return self._added[key]

    # -- everyday operators ------------------------------------------------------------------------------------------

    def cast(self, value: Value, dtype) -> Value:
        """Return a value in another dtype; no operator is added if it already has that dtype."""
        if value.dtype == np.dtype(dtype):
            return value
        if value.dtype == STRING:  # the runtime could convert strings, but fails at the first that is not a number
            raise self.refuse(
                "a column of strings: this step takes numbers", "convert the column to numbers before fit"
            )
        return self.op("Cast", value, dtype=dtype, shape=value.shape, to=onnx_type(dtype))

    def binary(self, kind: str, a: Value, b, shape: Sequence[int] | None = None) -> Value:
        """Return ``Add``, ``Sub``, ``Mul``, ``Div``, ``Max``, ... of two values; b may be an array; in a's dtype."""
        b = b if isinstance(b, Value) else self.constant(b, a.dtype)
        return self.op(kind, a, b, dtype=a.dtype, shape=a.shape if shape is None else shape)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """Return a value with its rows reshaped."""
        return self.op("Reshape", value, self.constant([-1, *shape], np.int64), dtype=value.dtype, shape=shape)

    def take(self, value: Value, columns: Sequence[int]) -> Value:
        """Return some columns of a value of shape (k,)."""
        columns = [int(column) for column in columns]
        if columns == list(range(value.shape[0])):
            return value
        indices = self.constant(columns, np.int64)
        return self.op("Gather", value, indices, dtype=value.dtype, shape=(len(columns),), axis=1)

    def concat(self, values: Sequence[Value]) -> Value:
        """Concatenate the columns of several values of shape (k,), in the dtype that numpy would choose."""
        dtype = np.result_type(*(value.dtype for value in values))
        if dtype == STRING and any(value.dtype != STRING for value in values):
            raise self.refuse("columns of strings among numbers", "encode the strings in an earlier step")
        values = [self.cast(value, dtype) for value in values]
        if len(values) == 1:
            return values[0]
        width = sum(value.shape[0] for value in values)
        return self.op("Concat", *values, dtype=dtype, shape=(width,), axis=1)

    def matrix(self, X: Table, dtype=None) -> Value:
        """Return X as one value of shape (k,), in ``dtype`` or in the one that numpy would choose."""
        if isinstance(X, Paths):
            raise self.refuse(
                "a column of strings as X: this step takes numbers",
                "put ImageLoader before it if the strings are image files",
            )
        if isinstance(X, Frame):
            X = self.concat(list(X.columns.values()))
        return X if dtype is None else self.cast(X, dtype)

    def argmax(self, value: Value) -> Value:
        """Return the index of each row's largest column, the first one in a tie, int64."""
        return self.op("ArgMax", value, dtype=np.int64, axis=1, keepdims=0)

    def column(self, value: Value, index: int) -> Value:
        """Return a column of a value of shape (k,), as a value of shape ()."""
        return self.op("Gather", value, self.constant(index, np.int64), dtype=value.dtype, axis=1)

    # -- other graphs ------------------------------------------------------------------------------------------------

    def embed(self, model, inputs: dict[str, Value], outputs: Sequence[tuple[str, np.dtype, tuple]]) -> list[Value]:
        """Add the graph of an ONNX model, and return some of its outputs.

        Parameters
        ----------
        model : onnx.ModelProto
            A model with the opset of this graph. Its names are changed, so that it can be embedded twice.
        inputs : dict
            The value for each of its inputs.
        outputs : list of (name, dtype, shape of a row)
        """
        compose, numpy_helper = (import_optional(f"onnx.{name}", "onnx") for name in ("compose", "numpy_helper"))
        check_opsets(model)
        prefix = self.make_name("graph") + "/"
        model = compose.add_prefix(model, prefix)
        renamed = {prefix + name: value.name for name, value in inputs.items()}
        for node in model.graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            rename_in_subgraphs(node, renamed)
        self.nodes.extend(model.graph.node)
        self.functions.extend(model.functions)
        for tensor in model.graph.initializer:
            self.constants[tensor.name] = numpy_helper.to_array(tensor)
        return [Value(prefix + name, np.dtype(dtype), tuple(shape)) for name, dtype, shape in outputs]

    def build(self, outputs: dict[str, Value]):
        """Return the graph as a checked onnx.ModelProto with these outputs, by name."""
        onnx = import_optional("onnx", "onnx")
        helper, numpy_helper = onnx.helper, onnx.numpy_helper
        taken = [value.name for value in self.inputs if value.name in outputs]
        if taken:
            raise ValueError(
                f"X must not have columns named like the outputs of the graph, {list(outputs)}, got {taken}: "
                "rename them before fit"
            )
        nodes, names = find_needed(name_outputs(self.nodes, outputs), outputs)
        graph = helper.make_graph(
            nodes,
            "sktricks",
            [describe(value) for value in self.inputs],
            [describe(replace(value, name=name)) for name, value in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items() if name in names],
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, functions=self.functions)
        self._check(onnx, model)
        return model

    def _check(self, onnx, model) -> None:
        """Raise an error if onnx considers a model invalid."""
        size = sum(array.nbytes for array in self.constants.values())
        if size >= LARGEST:
            raise self.refuse(
                f"{size / 1e9:.1f} GB of weights, since one ONNX file holds at most 2 GB", "fit a smaller one"
            )
        try:
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:  # the checker and the shape inference raise errors of several classes
            reason = str(error).strip().partition("\n")[0]
            raise self.refuse(
                f"a graph that onnx {onnx.__version__} considers invalid ({reason})",
                "export the steps one by one, replace the one that fails, and please report it",
            ) from error

    # -- errors ------------------------------------------------------------------------------------------------------

    def refuse(self, what: str, cure: str):
        """Return an error that says which step cannot be converted, because of ``what``, and the ``cure``."""
        from ._onnx_errors import UnsupportedForOnnxError

        where = f"the step {self.step!r}" if self._scopes else "the estimator"
        return UnsupportedForOnnxError(f"{where} cannot be exported to ONNX, because of {what}: {cure}")


def onnx_type(dtype) -> int:
    """Return ONNX's code of a numpy dtype; dtype object means strings."""
    helper = import_optional("onnx.helper", "onnx")
    dtype = np.dtype(dtype)
    return helper.np_dtype_to_tensor_dtype(np.dtype(str) if dtype == STRING else dtype)


def describe(value: Value):
    """Return the description of an input or output of a graph, with any number of rows."""
    helper = import_optional("onnx.helper", "onnx")
    return helper.make_tensor_value_info(value.name, onnx_type(value.dtype), ["n", *value.shape])


def check_opsets(model) -> None:
    """Raise an error unless a model has the opsets of this module."""
    found = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if found.get("ai.onnx", OPSET) != OPSET:
        raise ValueError(f"a graph to embed must have opset {OPSET}, got {found}")


def name_outputs(nodes, outputs: dict[str, Value]) -> list:
    """Return copies of the nodes in which the outputs of the graph have their final names."""
    helper = import_optional("onnx.helper", "onnx")
    made = {name for node in nodes for name in node.output}
    renamed: dict[str, str] = {}
    copies = []
    for name, value in outputs.items():
        if value.name in made and value.name not in renamed:
            renamed[value.name] = name
        else:  # the value is an input, a constant, or the same as another output
            source = renamed.get(value.name, value.name)
            copies.append(helper.make_node("Identity", [source], [name], name=f"output/{name}"))
    return [rename(node, renamed) for node in nodes] + copies


def rename(node, renamed: dict[str, str]):
    """Return a copy of a node with some values renamed, or the node itself if it uses none of them."""
    if renamed.keys().isdisjoint(names_read(node) | set(node.output)):
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    copy.input[:] = [renamed.get(name, name) for name in node.input]
    copy.output[:] = [renamed.get(name, name) for name in node.output]
    rename_in_subgraphs(copy, renamed)
    return copy


def find_needed(nodes, outputs) -> tuple[list, set[str]]:
    """Return the nodes on which some values depend, and the names of all values that these nodes read.

    The others are not needed: for example, a vote uses either the probabilities or the codes of its members.
    """
    names, needed = set(outputs), []
    for node in reversed(nodes):
        if not names.isdisjoint(node.output):
            needed.append(node)
            names.update(names_read(node))
    return needed[::-1], names


def names_read(node) -> set[str]:
    """Return the names of all values that a node reads, also in the branches of an If or the body of a Loop."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            names.update(*(names_read(inner) for inner in graph.node))
    return names


def rename_in_subgraphs(node, renamed) -> None:
    """Rename values of the outer graph that are used in the branches of an If or in the body of a Loop."""
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                inner.input[:] = [renamed.get(name, name) for name in inner.input]
                rename_in_subgraphs(inner, renamed)
