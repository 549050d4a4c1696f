"""An API fuzzer on our own OpenAPI page: whatever it sends, no 500 and no stack trace."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402  # after what may skip the file
from schemathesis import checks  # noqa: E402

from tests.serving.support import Served, serving  # noqa: E402

COUNT = 500 if os.environ.get("RUNSTONE_TEST_FULL") else 12
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
OPTIONS = settings(
    max_examples=COUNT,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)


@pytest.fixture(scope="module")
def server(signed_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The linear model, with a signature."""
    with serving(str(signed_folder), "--allow-pickle", "--no-check", cwd=tmp_path_factory.mktemp("cwd")) as served:
        yield served


def test_the_page_is_valid(server: Served) -> None:
    """By the schema of OpenAPI 3.1, as the fuzzer knows it."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    schema.validate()
    assert {"POST /invocations", "POST /v2/models/signed/infer"} <= {
        each.ok().label for each in schema.get_all_operations()
    }


def test_no_request_is_answered_by_a_500(server: Served) -> None:
    """Valid and invalid ones, on each path; and the answers are as the page says they are."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    wanted = [checks.not_a_server_error, checks.content_type_conformance, checks.response_schema_conformance]
    wanted += [checks.status_code_conformance]
    statuses: set[int] = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in MODES if operation.body else MODES[:1]:  # without a body there is nothing to get wrong

            def run(case: Any) -> None:
                response = case.call(timeout=30)
                statuses.add(response.status_code)
                assert b"Traceback" not in response.content
                case.validate_response(response, checks=wanted)

            given(case=operation.as_strategy(generation_mode=mode))(OPTIONS(run))()
    assert {200, 400} <= statuses
    assert [] == [line for line in server.log() if line["event"] == "error"]
