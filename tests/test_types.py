"""A signature written by hand, as MLflow's users write it: by the import line alone."""

import pytest

pytest.importorskip("mlflow", reason="mlflow is not installed")


@pytest.mark.mlflow
def test_a_signature_by_hand_is_mlflows() -> None:
    """Columns, tensors, nested types and params say the same in both."""
    import mlflow.models
    import mlflow.types
    import mlflow.types.schema
    import numpy

    import runstone.models
    import runstone.types

    said = []
    for schema, models in ((runstone.types, runstone.models), (mlflow.types.schema, mlflow.models)):
        inputs = schema.Schema(
            [
                schema.ColSpec("double", "age"),
                schema.ColSpec(schema.DataType.string, "name", required=False),
                schema.ColSpec(schema.Array(schema.DataType.long), "counts"),
                schema.ColSpec(schema.Object([schema.Property("x", schema.DataType.float)]), "place"),
            ]
        )
        outputs = schema.Schema([schema.TensorSpec(numpy.dtype("float32"), (-1, 2), "scores")])
        params = schema.ParamSchema([schema.ParamSpec("limit", "double", 0.5)])
        said.append(models.ModelSignature(inputs=inputs, outputs=outputs, params=params).to_dict())
    assert said[1] == said[0]


@pytest.mark.mlflow
@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("models", "ModelSignature infer_signature set_model"),
        ("models.signature", "ModelSignature infer_signature"),
        ("types", "ColSpec DataType ParamSchema ParamSpec Schema TensorSpec"),
        ("types.schema", "AnyType Array ColSpec Map Object ParamSchema ParamSpec Property Schema TensorSpec"),
    ],
)
def test_names_are_where_mlflow_has_them(module: str, names: str) -> None:
    """Only the import line changes, and it is one class wherever it is imported from."""
    from importlib import import_module

    ours, theirs = import_module(f"runstone.{module}"), import_module(f"mlflow.{module}")
    for name in names.split():
        assert hasattr(theirs, name)
        assert getattr(import_module(f"runstone.{module.partition('.')[0]}"), name) is getattr(ours, name)
