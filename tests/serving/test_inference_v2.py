"""The Open Inference Protocol: metadata, and the same predictions as everywhere else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runstone import pyfunc
from runstone.flavors.schema import TensorSpec
from tests.serving.support import Served, serving
from tests.serving.test_scoring import scorer_of


@pytest.fixture(scope="module")
def server(signed_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The linear model."""
    with serving(str(signed_folder), "--allow-pickle", "--no-check", cwd=tmp_path_factory.mktemp("cwd")) as served:
        yield served


def tensor(name: str, data: Any, shape: list[int], datatype: str = "FP64") -> dict[str, Any]:
    """One input of a request."""
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def test_metadata(server: Served) -> None:
    """Of the server and of the model, whose name is its folder's."""
    assert "runstone" == json.loads(server.get("/v2")[1])["name"]
    for path, said in (("live", "live"), ("ready", "ready")):
        assert (200, {said: True}) == (
            server.get(f"/v2/health/{path}")[0],
            json.loads(server.get(f"/v2/health/{path}")[1]),
        )
    model = json.loads(server.get("/v2/models/signed")[1])
    assert ("signed", "runstone_sklearn") == (model["name"], model["platform"])
    assert {"name": "age", "datatype": "FP64", "shape": [-1]} == model["inputs"][0]
    (version,) = model["versions"]
    assert model == json.loads(server.get(f"/v2/models/signed/versions/{version}")[1])
    for path in ("/v2/models/signed/ready", f"/v2/models/signed/versions/{version}/ready"):
        assert {"name": "signed", "ready": True} == json.loads(server.get(path)[1])
    status, answer = server.get("/v2/models/signed/versions/2")
    assert (404, True) == (status, "There is nothing at" in json.loads(answer)["error"])


def test_predictions(server: Served, signed_folder: Path, diabetes: tuple[Any, Any]) -> None:
    """A tensor for each column, or one for all; in rows or flat; of another kind of number; to the bit."""
    x = diabetes[1][:3]
    expected = pyfunc.load_model(str(signed_folder), allow_pickle=True).predict(x).tolist()
    columns = [tensor(name, x[name].tolist(), [3]) for name in x.columns]
    tall = [tensor(name, [[v] for v in x[name].tolist()], [3, 1]) for name in x.columns]
    rows = x.to_numpy().tolist()
    for inputs in (
        columns,
        tall,
        [tensor("all", rows, [3, 10])],
        [tensor("all", [v for row in rows for v in row], [3, 10])],
    ):
        status, answer = server.post("/v2/models/signed/infer", {"id": "7", "inputs": inputs})
        assert (200, "7", "signed") == (status, answer["id"], answer["model_name"])
        output = {"name": "output-0", "shape": [3], "datatype": "FP64", "data": expected}
        assert [output] == answer["outputs"]
    wanted = {"inputs": columns, "outputs": [{"name": "output-0"}]}
    assert 1 == len(server.post("/v2/models/signed/infer", wanted)[1]["outputs"])


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        '{"inputs": []}',
        '{"inputs": [1]}',
        '{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64"}]}',
        '{"inputs": [{"name": "a", "shape": [2], "datatype": "FP64", "data": [1]}]}',
        '{"inputs": [{"name": "a", "shape": [-1], "datatype": "FP64", "data": [1]}]}',
        '{"inputs": [{"name": "a", "shape": [1], "datatype": "FP65", "data": [1]}]}',
        '{"inputs": [{"name": "a", "shape": [1], "datatype": "INT8", "data": [300]}]}',
        '{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": ["x"]}]}',
        '{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1]}]}',
        '{"inputs": [{"name": "age", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}',
    ],
)
def test_malformed_requests(server: Served, body: str) -> None:
    """Each is a 400 with a code and a message, which also stands where the protocol has it."""
    status, answer = server.post("/v2/models/signed/infer", body)
    assert (400, ["error", "error_code", "message"]) == (status, sorted(answer))
    assert answer["message"] == answer["error"]


def test_a_model_of_tensors(plain_folder: Path) -> None:
    """Gets them by name, of its dtype and shape."""
    from runstone.serving import inference_v2

    scorer = scorer_of(plain_folder, TensorSpec("float32", (-1, 2), "a"), TensorSpec("object", (-1,), "b"))
    inputs = [tensor("a", [1, 2, 3, 4], [2, 2], "FP32"), tensor("b", ["x", "y"], [2], "BYTES")]
    answer = inference_v2.infer(scorer, json.dumps({"inputs": inputs}).encode())
    assert [
        {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]},
        {"name": "b", "shape": [2], "datatype": "BYTES", "data": ["x", "y"]},
    ] == answer["outputs"]
