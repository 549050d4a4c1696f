"""The file MLmodel: written stably, read from anybody's hands."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import mlmodel
from runstone.flavors.mlmodel import MLmodel
from runstone.flavors.schema import ColSpec, DataType, Schema
from runstone.flavors.signature import ModelSignature
from runstone.flavors.trust import Trust
from tests.support import run_python

WRITTEN = """\
flavors:
  python_function:
    loader_module: mlflow.sklearn
  sklearn:
    pickled_model: model.pkl
signature:
  inputs: '[{"type": "long", "name": "it''s", "required": true}]'
  outputs: null
  params: null
artifact_path: models/best
metadata:
  rate: 1.0e-05
mlflow_version: '3.11.0'
model_size_bytes: 12
model_uuid: 0a
run_id: '12'
utc_time_created: '2026-11-22 06:12:03.000000'
"""

MODEL = MLmodel(
    flavors={"sklearn": {"pickled_model": "model.pkl"}, "python_function": {"loader_module": "mlflow.sklearn"}},
    signature=ModelSignature(Schema([ColSpec(DataType.long, "it's")])),
    run_id="12",
    artifact_path="models/best",
    metadata={"rate": 1e-05},
    model_size_bytes=12,
    model_uuid="0a",
    utc_time_created="2026-11-22 06:12:03.000000",
)


def test_equal_models_give_equal_text() -> None:
    """The text is canonical: keys have one order, numbers and quotes one form."""
    assert WRITTEN.replace("model_uuid: 0a", "model_uuid: '0a'") == MODEL.to_yaml()


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    """Reading is the inverse of writing."""
    mlmodel.write(tmp_path, MODEL)
    assert mlmodel.read(tmp_path) == MODEL


def test_keys_that_nobody_here_knows_are_carried(tmp_path: Path) -> None:
    """What a newer MLflow adds is kept and written again."""
    (tmp_path / "MLmodel").write_text("flavors: {}\nprompts: [a, b]\nauth_policy: {x: 1}\n")
    read = mlmodel.read(tmp_path)
    assert {"prompts": ["a", "b"], "auth_policy": {"x": 1}} == read.extra
    assert "auth_policy:\n  x: 1\nprompts: [a, b]\n" in read.to_yaml()


def test_describe_gives_flavors_and_types_without_any_model_library(folder: Path) -> None:
    """The registry learns what it records with no scikit-learn, numpy or pandas imported."""
    printed = run_python(
        f"""
import sys
from pathlib import Path
from runstone.flavors.mlmodel import describe
print(describe(Path({str(folder)!r})))
print([name for name in ("sklearn", "numpy", "pandas", "cloudpickle", "mlflow") if name in sys.modules])
""",
        cwd=folder,
    ).stdout
    tensor = {"dtype": "float64", "shape": [-1]}
    signature = {
        "inputs": [
            {"type": "double", "name": "a", "required": True},
            {"type": "long", "name": "b", "required": True},
        ],
        "outputs": [{"type": "tensor", "tensor-spec": tensor}],
    }
    assert f"{(('sklearn', 'python_function'), signature)}\n[]\n" == printed


BAD = {
    "no flavors": ("run_id: x\n", "in `MLmodel`, `flavors` is missing"),
    "flavors of text": ("flavors: sklearn\n", 'in `MLmodel`, `flavors` must be a map, but is the text "sklearn"'),
    "settings of text": ("flavors: {sklearn: yes please}\n", "in `MLmodel`, `flavors.sklearn` must be a map"),
    "a list": ("- a\n", " must be a map, but is a list"),
    "no YAML": ("flavors: [\n", "in `MLmodel`, line 2 is not YAML; look for a missing quote or bracket, a tab, or"),
    "an object to build": (
        "flavors: !!python/object/apply:os.system ['touch x']\n",
        "in `MLmodel`, line 1 has the YAML tag `tag:yaml.org,2002:python/object/apply:os.system`; leave it out",
    ),
    "an alias": (
        "flavors: &a {}\nx: *a\n",
        "in `MLmodel`, line 1 has the anchor `a`; write the value out where it is used instead",
    ),
    "a key twice": ("flavors: {}\nflavors: {}\n", "in `MLmodel`, line 2 has the key `flavors` for the second time"),
    "a bad signature": (
        "flavors: {}\nsignature: {inputs: '['}\n",
        "in `MLmodel`, the signature cannot be used: it is not JSON: Expecting value: line 1 column 2 (char 1)",
    ),
    "a number for a name": ("flavors: {}\nrun_id: 7\n", "in `MLmodel`, `run_id` must be text, but is the number 7"),
    "nested deep": ("flavors: {}\nx: " + "[" * 9999 + "]" * 9999, "in `MLmodel`, line 2 is nested more than 32 deep"),
    "binary": ("flavors: \udcff\n", "in `MLmodel`, line 1 is not UTF-8 text"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_cannot_be_trusted_to_mean_anything_is_refused(tmp_path: Path, what: str) -> None:
    """Each way the file can be wrong has its own words, and what to do next."""
    text, problem = BAD[what]
    (tmp_path / "MLmodel").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidModelFolder) as error:
        mlmodel.read(tmp_path)
    assert problem in error.value.problem
    assert str(error.value).startswith(f"The model folder {tmp_path}: in `MLmodel`, ")
    assert str(error.value).endswith(" Save the model again, or get the folder again from where it was tracked.")


def test_a_yaml_bomb_is_refused_before_it_grows(tmp_path: Path) -> None:
    """Nine lines that would grow to a billion values are an error at the first anchor."""
    lines = ["flavors: {}", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (tmp_path / "MLmodel").write_text("\n".join(lines))
    with pytest.raises(InvalidModelFolder) as error:
        mlmodel.describe(tmp_path)
    assert "in `MLmodel`, line 2 has the anchor `a0`; write the value out where it is used instead" == (
        error.value.problem
    )


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A file over the limit is refused by its size, not by what is in it."""
    with (tmp_path / "MLmodel").open("wb") as stream:
        stream.truncate(mlmodel.MAX_SIZE + 1)
    with pytest.raises(InvalidModelFolder) as error:
        mlmodel.describe(tmp_path)
    assert "`MLmodel` is larger than 2 MiB" == error.value.problem


@given(st.integers(0, len(WRITTEN) - 1), st.integers(0, 40), st.text(alphabet="[]{}:,'\"&*!-\n #ax0.", max_size=6))
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_read_or_refused_but_never_crashes(at: int, gone: int, put: str) -> None:
    """Cut a piece out and put another in: what comes is a model or an error of ours, in both readers."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "MLmodel").write_text(WRITTEN[:at] + put + WRITTEN[at + gone :])
        for reader in (mlmodel.read, mlmodel.describe):
            with suppress(InvalidModelFolder):
                assert reader(Path(folder))


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    """A path that does not exist, and a folder without the file, are told apart."""
    with pytest.raises(InvalidModelFolder) as error:
        mlmodel.read(tmp_path / "none")
    assert f"The model folder {tmp_path / 'none'}: there is no such folder. Check the path." == str(error.value)
    with pytest.raises(InvalidModelFolder) as error:
        mlmodel.read(tmp_path, trust=Trust())
    assert "the file `MLmodel` is missing" == error.value.problem


def test_metadata_that_yaml_cannot_hold_is_refused_by_its_path() -> None:
    """The caller learns which value of the metadata cannot be written."""
    with pytest.raises(UsageError, match=r"`metadata\.x` cannot be recorded: it is a object"):
        MLmodel(flavors={}, metadata={"x": object()}).to_yaml()


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    """A file over the bound is refused when the model is saved, not when somebody needs it."""
    with pytest.raises(InvalidModelFolder, match="its `MLmodel` would be larger than 2 MiB"):
        mlmodel.write(tmp_path, replace(MODEL, metadata={"a": "x" * mlmodel.MAX_SIZE}))
    assert not (tmp_path / mlmodel.FILE).exists()


def test_thousands_of_columns_fit(tmp_path: Path) -> None:
    """A wide table's signature is far from the bound."""
    wide = replace(
        MODEL, signature=ModelSignature(Schema([ColSpec(DataType.double, f"feature_{i}") for i in range(10_000)]))
    )
    mlmodel.write(tmp_path, wide)
    assert wide == mlmodel.read(tmp_path)


def test_a_file_read_again_is_read_as_it_is_now(tmp_path: Path) -> None:
    """What one reader does to its copy no other sees, and a file that changed is read anew."""
    mlmodel.write(tmp_path, MODEL)
    first = mlmodel.read(tmp_path)
    cast(Any, first.metadata)["rate"] = 2
    cast(Any, first.flavors["sklearn"]).clear()
    assert mlmodel.read(tmp_path) == MODEL
    mlmodel.write(tmp_path, replace(MODEL, run_id="13"))
    assert "13" == mlmodel.read(tmp_path).run_id
