"""A model as a function of columns in Spark, as MLflow's `spark_udf`.

The model goes to the executors with the function, and is held against its digests there; they need Runstone and the
model's library installed.
"""

import typing
from collections.abc import Callable, Mapping
from typing import Any

from runstone.errors import UsageError
from runstone.flavors.saving import library
from runstone.flavors.schema import DataType, Schema, TensorSpec
from runstone.scoring.packed import Packed
from runstone.scoring.predictions import to_frame

_TYPES = {
    DataType.boolean: "boolean",
    DataType.integer: "int",
    DataType.long: "bigint",
    DataType.float: "float",
    DataType.double: "double",
    DataType.string: "string",
    DataType.binary: "binary",
    DataType.datetime: "timestamp",
}


def make_udf(
    spark: Any,
    packed: Packed,
    outputs: Schema | None,
    inputs: Schema | None,
    result_type: Any,
    params: Mapping[str, Any],
) -> Callable[..., Any]:
    """A function of columns that predicts.

    Args:
        spark: The session.
        packed: The model.
        outputs: The outputs of its signature.
        inputs: The inputs: called without columns, the function takes those of these names.
        result_type: A Spark type, or its text; None takes that of the outputs, else double.
        params: Params for each prediction.

    Raises:
        MissingLibrary: pyspark or pyarrow is not installed.
    """
    functions = library("pyspark.sql.functions", "predict in Spark", "'runstone[spark]'")
    library("pyarrow", "predict in Spark", "'runstone[spark]'")
    import pandas

    names = [str(name) for name in inputs.input_names()] if inputs is not None and inputs.has_input_names() else []
    kind = _result_type(outputs) if result_type is None else result_type
    is_text = str(kind) in ("string", "StringType()")  # Spark makes no text of numbers
    carried = spark.sparkContext.broadcast(packed)
    given = dict(params)

    def predict(batches: Any) -> Any:
        model = carried.value.load()
        for columns in batches:
            data = _table(columns, names)
            answer = to_frame(model.predict(data, given or None), ())
            if answer.shape[1] == 1:
                yield answer.iloc[:, 0].astype(str) if is_text else answer.iloc[:, 0]
            else:
                yield pandas.Series(answer.to_numpy().tolist())

    # pyspark reads these, and knows them by the names of `typing` alone.
    some: Any = typing.Tuple[typing.Union[pandas.Series, pandas.DataFrame], ...]  # noqa: UP006, UP007
    predict.__annotations__ = {"batches": typing.Iterator[some], "return": typing.Iterator[pandas.Series]}
    udf = functions.pandas_udf(predict, kind)

    def of_columns(*columns: Any) -> Any:
        """The predictions as a column: of these columns, of one struct of them, or of those the signature names."""
        if columns:
            return udf(*columns)
        if not names:
            raise UsageError("The model has no signature with names of columns: name them, `predict('a', 'b')`.")
        return udf(functions.struct(*[functions.col(f"`{name}`") for name in names]))

    return of_columns


def _table(columns: Any, names: list[str]) -> Any:
    """A batch as a DataFrame: one struct as it is; else columns by the signature's names, or by their position."""
    import pandas

    if not isinstance(columns, tuple):  # of one column Spark makes no tuple
        columns = (columns,)
    if len(columns) == 1 and isinstance(columns[0], pandas.DataFrame):
        return columns[0]
    labels = names[: len(columns)] if len(names) >= len(columns) else [str(i) for i in range(len(columns))]
    return pandas.concat(list(columns), axis=1, keys=labels)


def _result_type(outputs: Schema | None) -> str:
    if outputs is None:
        return "double"
    types = outputs.input_types()
    tensor = next(iter(outputs))
    if isinstance(tensor, TensorSpec):
        shape = tensor.shape
        return "array<double>" if len(shape) > 1 and shape[-1] != 1 else "double"
    first = types[0]
    if isinstance(first, DataType):
        return _TYPES[first] if len(types) == 1 else f"array<{_TYPES[first]}>"
    return "double"
