"""ONNX models: data, loaded without trust; but not the options beside them, nor tensors from files elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runstone.errors import InputMismatch, InvalidModelFolder, ModelFileChanged, UsageError
from runstone.flavors import onnx as flavor
from runstone.flavors import pyfunc
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.trust import Trust
from tests.flavors.boosters import edit, requirements_of
from tests.flavors.networks import check_damage, check_missing_library, check_other_version
from tests.flavors.support import ALLOWED, digests_of

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

W = np.random.default_rng(0).normal(size=(3, 400)).astype(np.float32)  # large enough for a file of its own
X = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
EXPECTED = X @ W


def make_model(outputs: int = 1) -> Any:
    """A matrix product of one input `x` and, if asked, its first column as a second output."""
    helper, kind = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    made = [helper.make_tensor_value_info("y", kind.FLOAT, [None, 400])]
    if outputs == 2:
        nodes.append(helper.make_node("Gather", ["y", "i"], ["first"], axis=1))
        made.append(helper.make_tensor_value_info("first", kind.FLOAT, [None]))
    given = [onnx.numpy_helper.from_array(W, "w"), onnx.numpy_helper.from_array(np.array(0), "i")]
    takes = [helper.make_tensor_value_info("x", kind.FLOAT, [None, 3])]
    graph = helper.make_graph(nodes, "product", takes, made, given[:outputs])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def make_sum() -> Any:
    """Two inputs, and their sum."""
    helper, kind = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"])],
        "sum",
        [helper.make_tensor_value_info(name, kind.FLOAT, [None]) for name in "ab"],
        [helper.make_tensor_value_info("sum", kind.FLOAT, [None])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(params=[False, True], ids=["one file", "tensors apart"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The product, saved by us with an example, its tensors in the model's file or in one of their own."""
    options = SaveOptions(input_example=X)
    flavor.save(make_model(), tmp_path / "m", options, save_as_external_data=request.param)
    return tmp_path / "m"


def keep_apart(folder: Path, location: str) -> None:
    """Have the tensor's file be another one, as a hostile hand would."""
    model = onnx.load_model(folder / "model.onnx", load_external_data=False)
    entry = next(each for each in model.graph.initializer[0].external_data if each.key == "location")
    entry.value = location
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def test_a_model_comes_back_and_predicts(folder: Path) -> None:
    """With and without digests; the model itself has its tensors, and the caller's is not changed by saving."""
    for trust in (Trust(), Trust(digests_of(folder))):
        loaded = flavor.load(folder, trust=trust)
        np.testing.assert_array_equal(W, onnx.numpy_helper.to_array(loaded.graph.initializer[0]))
        answer = pyfunc.load(folder, trust=trust).predict(X)
        np.testing.assert_allclose(EXPECTED, answer["y"], rtol=1e-5)
    assert ["numpy", "onnx", "onnxruntime"] == requirements_of(folder)


def test_saving_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    """Its tensors are moved out of the file, and not out of the caller's hands."""
    model = make_model()
    before = model.SerializeToString()
    flavor.save(model, tmp_path / "m", save_as_external_data=True)
    assert before == model.SerializeToString()
    assert (tmp_path / "m" / "model.onnx").stat().st_size < 1000
    assert W.nbytes <= (tmp_path / "m" / "model.onnx.data").stat().st_size


@pytest.mark.mlflow
def test_mlflow_loads_what_we_save(folder: Path) -> None:
    """Both its faces, with equal answers, and with our signature."""
    import mlflow.onnx
    import mlflow.pyfunc

    theirs = mlflow.pyfunc.load_model(str(folder))
    np.testing.assert_array_equal(pyfunc.load(folder, trust=Trust()).predict(X)["y"], theirs.predict(X)["y"])
    assert "product" == mlflow.onnx.load_model(str(folder)).graph.name
    signature = pyfunc.load(folder, trust=Trust()).metadata.signature
    assert signature is not None
    assert signature.to_dict() == theirs.metadata.signature.to_dict()


@pytest.mark.mlflow
@pytest.mark.parametrize("apart", [False, True])
def test_we_load_what_mlflow_saved(tmp_path: Path, apart: bool) -> None:
    """Its tensors lie in a file with a name of chance, unless it is told otherwise."""
    import mlflow.onnx
    import mlflow.pyfunc

    path = str(tmp_path / "m")
    mlflow.onnx.save_model(
        make_model(),
        path,
        pip_requirements=["onnx"],
        save_as_external_data=apart,
        onnx_session_options={"intra_op_num_threads": 1},
    )
    assert apart == bool(list((tmp_path / "m").glob("*-*-*.data")))
    expected = mlflow.pyfunc.load_model(path).predict(X)["y"]
    for trust in (Trust(), Trust(digests_of(tmp_path / "m"))):
        np.testing.assert_array_equal(expected, pyfunc.load(tmp_path / "m", trust=trust).predict(X)["y"])
        assert "product" == flavor.load(tmp_path / "m", trust=trust).graph.name


@pytest.mark.mlflow
def test_frames_and_maps_are_answered_as_mlflow_answers(tmp_path: Path) -> None:
    """A frame's columns are the inputs; of several inputs an array alone cannot be one."""
    import mlflow.pyfunc

    flavor.save(make_sum(), tmp_path / "m")
    ours, theirs = pyfunc.load(tmp_path / "m", trust=Trust()), mlflow.pyfunc.load_model(str(tmp_path / "m"))
    frame = pd.DataFrame({"b": [1.0, 2.0], "a": [10.0, 20.0], "c": [0.0, 0.0]})
    pd.testing.assert_frame_equal(theirs.predict(frame), ours.predict(frame))
    assert [11.0, 22.0] == ours.predict(frame)["sum"].tolist()
    arrays = {name: frame[name].to_numpy() for name in "ab"}
    np.testing.assert_array_equal(theirs.predict(arrays)["sum"], ours.predict(arrays)["sum"])
    with pytest.raises(InputMismatch, match=r"the model takes \['a', 'b'\]: give a map"):
        ours.predict(frame[["a", "c"]])


def test_rows_stay_rows(tmp_path: Path) -> None:
    """Outputs of one and of many values a row stand side by side, where MLflow fails."""
    flavor.save(make_model(outputs=2), tmp_path / "m")
    answer = pyfunc.load(tmp_path / "m", trust=Trust()).predict(pd.DataFrame(X, columns=list("abc")))
    assert (5, 2) == answer.shape
    np.testing.assert_allclose(EXPECTED, np.stack(answer["y"]), rtol=1e-5)
    np.testing.assert_allclose(EXPECTED[:, 0], answer["first"].astype(float), rtol=1e-5)


@pytest.mark.parametrize("data", [X[:, :2], {"z": X}, np.array([["a"] * 3])], ids=["shape", "name", "type"])
def test_data_that_the_model_refuses(tmp_path: Path, data: Any) -> None:
    """What ONNX Runtime says of it, as bad input."""
    flavor.save(make_model(), tmp_path / "m")
    with pytest.raises(InputMismatch, match="ONNX Runtime refuses it: "):
        pyfunc.load(tmp_path / "m", trust=Trust()).predict(data)


def test_options_reach_the_session(tmp_path: Path) -> None:
    """Threads, mode and level; and from the caller's own folder the further settings too."""
    options = {
        "intra_op_num_threads": 1,
        "inter_op_num_threads": 1,
        "execution_mode": "sequential",
        "graph_optimization_level": 99,
        "extra_session_config": {"session.disable_prepacking": "1"},
    }
    folder = tmp_path / "m"
    flavor.save(
        make_model(), folder, onnx_session_options=options, onnx_execution_providers=[("CPUExecutionProvider", {})]
    )
    session = flavor.load_pyfunc(folder, trust=ALLOWED).raw.get_session_options()
    assert 1 == session.intra_op_num_threads
    assert "1" == session.get_session_config_entry("session.disable_prepacking")
    assert ["CPUExecutionProvider"] == flavor.load_pyfunc(folder, trust=ALLOWED).raw.get_providers()
    with pytest.raises(UsageError, match="`onnx_session_options` may have "):
        flavor.save(make_model(), tmp_path / "n", onnx_session_options={"threads": 1})
    with pytest.raises(UsageError, match="this is a int"):
        flavor.save(1, tmp_path / "n")


def test_options_of_strangers_write_no_files(tmp_path: Path) -> None:
    """A session can be told to write its model to any path; a folder that nobody vouches for cannot tell it."""
    target = tmp_path / "written.onnx"
    options = {"extra_session_config": {"session.optimized_model_external_initializers_file_name": str(target)}}
    flavor.save(make_model(), tmp_path / "m", onnx_session_options=options)
    session = flavor.load_pyfunc(tmp_path / "m", trust=Trust()).raw.get_session_options()
    with pytest.raises(RuntimeError):
        session.get_session_config_entry("session.optimized_model_external_initializers_file_name")
    session = flavor.load_pyfunc(tmp_path / "m", trust=ALLOWED).raw.get_session_options()
    assert str(target) == session.get_session_config_entry("session.optimized_model_external_initializers_file_name")


def test_a_stranger_chooses_among_local_providers(tmp_path: Path) -> None:
    """One that sends data to a service is passed over unless someone vouches for the folder; so are odd values."""
    remote = "AzureExecutionProvider"
    if remote not in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has no {remote}")
    folder = tmp_path / "m"
    flavor.save(make_model(), folder, onnx_execution_providers=[remote, "CPUExecutionProvider"])
    assert ["CPUExecutionProvider"] == flavor.load_pyfunc(folder, trust=Trust()).raw.get_providers()
    assert remote in flavor.load_pyfunc(folder, trust=ALLOWED).raw.get_providers()
    edit(folder, f"providers: [{remote}, CPUExecutionProvider]", "providers: CPUExecutionProvider")
    assert ["CPUExecutionProvider"] == flavor.load_pyfunc(folder, trust=Trust()).raw.get_providers()


@pytest.mark.parametrize("location", ["../beside", "/etc/hostname", "a/../../beside", ""], ids=repr)
def test_tensors_are_not_read_from_elsewhere(tmp_path: Path, location: str) -> None:
    """Whoever vouches for the folder, what lies beside it is not in it."""
    flavor.save(make_model(), tmp_path / "m", save_as_external_data=True)
    (tmp_path / "beside").write_bytes((tmp_path / "m" / "model.onnx.data").read_bytes())
    keep_apart(tmp_path / "m", location)
    for load in (flavor.load, flavor.load_pyfunc):
        with pytest.raises(InvalidModelFolder) as error:
            load(tmp_path / "m", trust=ALLOWED)
        assert f"`model.onnx` names the file {location!r}, which leaves the folder" == error.value.problem


def test_sparse_tensors_are_not_read_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sparse tensor is made of may lie in a file too: in the folder, and not where the process happens to be."""
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "w"], ["y"])], "g", ends[:1], ends[1:])
    sparse = graph.sparse_initializer.add(dims=[2])
    sparse.values.CopyFrom(onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[2], data_location=1))
    sparse.values.external_data.add(key="location", value="beside")
    sparse.indices.CopyFrom(onnx.helper.make_tensor("at", onnx.TensorProto.INT64, [2], [0, 1]))
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])
    flavor.save(make_model(), tmp_path / "m", save_as_external_data=False)
    (tmp_path / "m" / "model.onnx").write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside").write_bytes(np.array([3, 4], dtype=np.float32).tobytes())
    for load in (flavor.load, flavor.load_pyfunc):
        with pytest.raises(InvalidModelFolder, match="the file `beside` is missing"):
            load(tmp_path / "m", trust=Trust())
    (tmp_path / "m" / "beside").write_bytes(np.array([5, 6], dtype=np.float32).tobytes())
    found = flavor.load_pyfunc(tmp_path / "m", trust=Trust()).predict(np.zeros(2, dtype=np.float32), {})
    np.testing.assert_array_equal([5, 6], found["y"])
    recorded = digests_of(tmp_path / "m")
    (tmp_path / "m" / "beside").write_bytes(bytes(8))
    with pytest.raises(ModelFileChanged):
        flavor.load_pyfunc(tmp_path / "m", trust=Trust(recorded))


def test_tensors_of_another_file_and_through_a_link_are_refused(tmp_path: Path) -> None:
    """A file that git did not record, one that it recorded otherwise, and a link that leads out."""
    folder = tmp_path / "m"
    flavor.save(make_model(), folder, save_as_external_data=True)
    recorded = digests_of(folder)
    (folder / "model.onnx.data").write_bytes(bytes(W.nbytes))
    with pytest.raises(ModelFileChanged) as changed:
        flavor.load_pyfunc(folder, trust=Trust(recorded))
    assert "model.onnx.data" == changed.value.file
    (folder / "model.onnx.data").rename(tmp_path / "outside")
    (folder / "model.onnx.data").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load_pyfunc(folder, trust=ALLOWED)
    assert "`model.onnx.data` is a link that leads out of the folder" == error.value.problem


def test_damage(tmp_path: Path) -> None:
    """Every damage of the weights is an error that names them."""
    flavor.save(make_model(), tmp_path / "m", save_as_external_data=False)
    check_damage("onnx", tmp_path / "m", "model.onnx", "data: model.onnx")


def test_pyfunc_says_what_is_no_model(tmp_path: Path) -> None:
    """ONNX Runtime's own words on a file that it cannot parse."""
    flavor.save(make_model(), tmp_path / "m")
    (tmp_path / "m" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(InvalidModelFolder, match=r"ONNX Runtime cannot load `model\.onnx`: "):
        flavor.load_pyfunc(tmp_path / "m", trust=Trust())
    (tmp_path / "m" / "model.onnx").write_bytes(b"no model, but a location")
    with pytest.raises(InvalidModelFolder, match=r"`model\.onnx` is no ONNX model: "):
        flavor.load_pyfunc(tmp_path / "m", trust=Trust())


def test_other_versions_and_none(tmp_path: Path) -> None:
    """Onnx for the model, ONNX Runtime for predictions: each is held against its own recorded version."""
    folder = tmp_path / "m"
    flavor.save(make_model(), folder)
    check_missing_library("onnx", folder, "onnx")
    check_missing_library("onnx", folder, "onnxruntime", "load_pyfunc")
    check_other_version("onnx", folder, "onnx", "onnx_version")
    edit(folder, f"onnxruntime_version: '{onnxruntime.__version__}'", "onnxruntime_version: 1.0.0")
    with pytest.warns(UserWarning, match="was saved with onnxruntime 1.0.0"):
        flavor.load_pyfunc(folder, trust=Trust())
