"""The compose file, by the published schema of the Compose specification."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("check_jsonschema", reason="the extra `test` is not installed")

import check_jsonschema  # after what may skip the file
import jsonschema  # after what may skip the file

from runstone.deploy.dockerfile import PORT
from runstone.templates import read as read_template
from tests.deploy.rendered import DIGEST, IMAGE, deployment, documents

SCHEMA = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"


def validate(document: Any) -> None:
    """Raise what jsonschema raises."""
    schema = json.loads(SCHEMA.read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(document)


def test_the_file_is_valid() -> None:
    """Of one model with one server, of servers that several are of, and with a name that no service has."""
    for made in (
        [deployment()],
        [deployment(replicas=3)],
        [deployment(), deployment("Ünï ${HOME} $x", labels={"team": "growth"}, cpu="250m", memory="2000k")],
    ):
        validate(documents("compose", made)["compose.yaml"])


@pytest.mark.parametrize(
    "broken",
    [
        {"image": 3},
        {"imaje": "x"},
        {"image": "x", "read_only": []},
        {"image": "x", "ports": [{"target": 1, "publishd": "2"}]},
        {"image": "x", "deploy": {"resources": {"limits": {"memory": {}}}}},
    ],
)
def test_the_schema_refuses_what_is_broken(broken: dict[str, Any]) -> None:
    """So that the test above can fail."""
    with pytest.raises(jsonschema.ValidationError):
        validate({"services": {"churn": broken}})


def test_what_a_service_says() -> None:
    """The image's own port and health check, nothing that can be written, the model that git means."""
    service = documents("compose", [deployment(port=9000, cpu="1500m", workers=2)])["compose.yaml"]["services"]["churn"]
    assert IMAGE == service["image"]
    assert [f"--digest={DIGEST}", f"--port={PORT}", "--workers=2", "--timeout=60"] == service["command"]
    assert [{"target": PORT, "host_ip": "127.0.0.1", "protocol": "tcp", "published": "9000"}] == service["ports"]
    assert (True, "10001:10001", ["/tmp"]) == (service["read_only"], service["user"], service["tmpfs"])
    assert {"interval": "10s", "timeout": "5s", "start_period": "60s", "retries": 3} == service["healthcheck"]
    assert "\nHEALTHCHECK " in read_template("Dockerfile")
    assert {"cpus": "1.5", "memory": "1024m"} == service["deploy"]["resources"]["limits"]
    assert "70s" == service["stop_grace_period"]


def test_several_servers_share_no_port_of_the_host() -> None:
    """Of one model or of several."""
    for made in ([deployment(replicas=2)], [deployment(), deployment("fraud")]):
        for service in documents("compose", made)["compose.yaml"]["services"].values():
            assert "published" not in service["ports"][0]


def test_a_dollar_begins_no_variable() -> None:
    """Names that others gave read nothing of the environment of whoever starts the file."""
    (service,) = documents("compose", [deployment("a${HOME}$b")])["compose.yaml"]["services"].values()
    assert "a$${HOME}$$b" == service["labels"]["runstone.dev/model"]
    assert "a${HOME}$b" == service["labels"]["runstone.dev/model"].replace("$$", "$")


def test_memory_in_units_that_compose_knows() -> None:
    """Which has no thousands."""
    service = documents("compose", [deployment(memory="1500k")])["compose.yaml"]["services"]["churn"]
    assert "1500000b" == service["deploy"]["resources"]["limits"]["memory"]
