"""schemas/README.md and tests/examples/records: what they show is true, and what was once valid stays so."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runstone import names
from runstone.errors import RunstoneError
from runstone.records import schema, yaml
from runstone.records.alias import Alias
from runstone.records.approval import ApprovalNote
from runstone.records.config import Config
from runstone.records.experiment import Experiment
from runstone.records.gate import GATES, Gate
from runstone.records.metric import format_metrics, parse_metrics
from runstone.records.model import VersionBody
from runstone.records.model_file import ModelFile
from runstone.records.policy import Approvals, Policy
from runstone.records.registration import Registration
from runstone.records.run import Run
from runstone.records.stage import Stage
from runstone.records.upgrade import VERSIONS
from runstone.records.version_notes import VersionNotes
from runstone.records.yaml_write import BARE, INNER, TOP

PAGE = (schema.folder() / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+) (.+)\n((?:.*\n)*?)```\n(?:\n> (.*)\n)?", re.MULTILINE)
BLOCKS = [match.groups() for match in BLOCK.finditer(PAGE)]
VALID = {name: text for _, name, text, _ in BLOCKS if not name.startswith("refused ")}
REFUSED = [(name.removeprefix("refused "), text, why) for _, name, text, why in BLOCKS if name.startswith("refused ")]
EXAMPLES = Path(__file__).parents[1] / "examples" / "records"


def body(name: str) -> str:
    """The part of an example that is a file of its own: a tag's message begins with a subject line."""
    return VALID[name].partition("\n\n")[2] if name == "tag" else VALID[name]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("run.yaml", "run"),
        ("metrics.tsv", "metrics"),
        ("experiment.yaml", "experiment"),
        ("tag", "version"),
        ("champion.yaml", "alias"),
        ("model.yaml", "registered-model"),
        ("Production.yaml", "stage"),
        ("4.yaml", "version-notes"),
        ("registration.yaml", "registration"),
        ("note.yaml", "approval"),
        ("policy.yaml", "policy"),
        ("runstone.yaml", "config"),
    ],
)
def test_the_page_shows_valid_records_in_canonical_form(name: str, kind: str) -> None:
    """Each example is accepted, and is the very text that we would write (what people write has remarks)."""
    text = body(name)
    assert kind == schema.validate_text(text, name)
    if kind == "metrics":
        assert text == format_metrics(parse_metrics(text, name))
    elif kind not in ("config", "policy"):
        assert text == yaml.dump(yaml.load(text, name))


def test_the_page_shows_one_example_of_each_format() -> None:
    """No fenced example escapes the tests of this file."""
    expected = {"run.yaml", "metrics.tsv", "experiment.yaml", "tag", "champion.yaml", "runstone.yaml", "artifacts.dvc"}
    expected |= {"model.yaml", "Production.yaml", "4.yaml", "registration.yaml", "note.yaml", "policy.yaml"}
    assert expected == set(VALID)
    assert 13 == len(REFUSED)


def test_the_policy_of_the_page_shows_every_gate_and_every_key_of_a_rule() -> None:
    """What can be asked for is seen in use, and the table explains each gate."""
    policy = Policy.from_document(yaml.load(VALID["policy.yaml"], "policy.yaml"), "policy.yaml")
    rules = [*policy.stages.values(), *policy.aliases.values()]
    assert set(GATES) == {gate.kind for rule in rules for gate in rule.gates}
    production = policy.stages["Production"]
    assert (("Staging", "Archived"), 1, "Archived") == (production.sources, production.holders, production.previous)
    assert Approvals(2, ("*@example.org",)) == production.approvals
    assert ("lead@example.org",) == production.bypass
    for kind in GATES:
        assert re.search(rf"^\| `{kind}: ", PAGE, re.MULTILINE), kind
    definitions = schema._documents()["policy.v1.json"]["$defs"]
    for key in {**definitions["stage"]["properties"], **definitions["approvals"]["properties"]}:
        assert f"`{key}`" in PAGE


@pytest.mark.parametrize(("name", "text", "why"), REFUSED)
def test_what_the_page_says_is_refused_is_refused_with_that_sentence(name: str, text: str, why: str) -> None:
    """The whole sentence on the page is the message."""
    with pytest.raises(RunstoneError) as error:
        schema.validate_text(text, name)
    assert why == str(error.value)


@pytest.mark.parametrize("kind", [*(kind for kind in VERSIONS if kind != "metrics"), "dataset", "model"])
def test_the_page_explains_every_key(kind: str) -> None:
    """Each key of a schema stands on the page in backticks."""
    for key in schema._properties(kind):
        assert re.search(rf"`{key}[`,:]", PAGE), key


@pytest.mark.parametrize(("section", "known"), [("## `run.yaml`", TOP), ("## Model versions", TOP), *INNER.items()])
def test_the_page_lists_keys_in_the_order_in_which_they_are_written(section: str, known: tuple[str, ...]) -> None:
    """Whoever writes keys in the order of the page writes canonical YAML."""
    titles = {"datasets": "### Datasets", "models": "### Models", "attempts": "| `attempts` |"}
    titles |= {"environment": "| `environment` |", "source": "**`source`**", "metrics": "**`metrics`**"}
    title = titles.get(section, section)
    assert title in PAGE
    text = PAGE.partition(title)[2]
    if section.startswith("#"):
        listed = re.findall(r"^\| `([a-z]+)` \|", text.partition("\n## ")[0], re.MULTILINE)
        assert len(listed) >= 6
    else:
        listed = re.findall(r"`([a-z]+)`(?! or)", text.partition("\n" if title.startswith("|") else "\n\n#")[0])
    listed = [key for key in dict.fromkeys(listed) if key in known]
    assert listed == [key for key in known if key in listed]
    assert section.startswith("#") or set(known) == set(listed)


def test_the_page_links_every_schema() -> None:
    """The table at the top has a row for each file of the folder."""
    assert {path.name for path in schema.folder().glob("*.json")} == set(re.findall(r"\]\(([a-z.0-9-]+\.json)\)", PAGE))


def test_the_tables_of_names_are_true() -> None:
    """Experiment ids and tags on the page are what the code makes of those names."""
    ids = PAGE.partition("| name | id |")[2].partition("\n\n")[0]
    rows = re.findall(r"\| `(.+)` \| `(.+)` \|", ids)
    assert 4 == len(rows)
    for name, expected in rows:
        assert expected == names.experiment_id(name)
    tags = PAGE.partition("| model | tag of version 3 |")[2].partition("\n\n")[0]
    rows = re.findall(r"\| `(.+)` \| `(.+)` \|", tags)
    assert 4 == len(rows)
    for name, expected in rows:
        assert expected == names.format_version_tag(name, 3)


def test_the_rule_for_bare_text_is_the_one_in_the_code() -> None:
    """The regular expression on the page is ours, but for groups that capture."""
    assert f"`{BARE.replace('(?:', '(')}`" in PAGE


DIGESTS = {
    "alias.v1.yaml": "7127b28c94df5afd",
    "approval.v1.yaml": "be896e27917c4b5f",
    "config.v1.yaml": "8126f85265cc1545",
    "experiment.v1.yaml": "cff56a01f69d7a37",
    "metrics.v1.tsv": "a5c61d6c08d4df8f",
    "policy.v1.yaml": "862814de9f4a0dc1",
    "registered-model.v1.yaml": "12542495be9bf14f",
    "registration.v1.yaml": "7eabb6ee1883aaa7",
    "run.v1.yaml": "829924e6c4448a96",
    "stage.v1.yaml": "925dd670c999bdad",
    "version-notes.v1.yaml": "8e1ee97e96516db5",
    "version.v1.yaml": "0096ff1f4667479e",
}
REGISTRY: dict[str, Callable[[Any, str], Any]] = {
    "alias": Alias.from_document,
    "approval": ApprovalNote.from_document,
    "registered-model": ModelFile.from_document,
    "registration": Registration.from_document,
    "stage": Stage.from_document,
    "version-notes": VersionNotes.from_document,
}


@pytest.mark.parametrize("name", DIGESTS)
def test_examples_of_released_formats_are_never_edited(name: str) -> None:
    """What somebody's repository holds today must be readable for ever: these files stand for it."""
    assert DIGESTS[name] == hashlib.sha256((EXAMPLES / name).read_bytes()).hexdigest()[:16]


def test_every_version_of_every_format_has_an_example() -> None:
    """A new version brings its file; the old ones stay."""
    expected = {f"{kind}.v{n}" for kind, newest in VERSIONS.items() for n in range(1, newest + 1)}
    assert expected == {path.stem for path in EXAMPLES.iterdir()}
    assert set(DIGESTS) == {path.name for path in EXAMPLES.iterdir()}


@pytest.mark.parametrize("name", DIGESTS)
def test_examples_of_all_versions_are_read_and_written_back(name: str) -> None:
    """Each old file is valid, becomes a record, and is written again without a changed byte."""
    text = (EXAMPLES / name).read_bytes().decode()
    kind = schema.validate_text(text, name)
    assert kind == name.partition(".")[0]
    if kind == "metrics":
        assert text == format_metrics(parse_metrics(text, name))
        return
    document = yaml.load(text, name)
    if kind == "run":
        document = Run.from_document(document, "exp", name).to_document()
    elif kind == "experiment":
        document = Experiment.from_document(document, "exp", name).to_document()
    elif kind == "version":
        document = VersionBody.from_document(document, name).to_document()
    elif kind in REGISTRY:
        document = REGISTRY[kind](document, name).to_document()
    elif kind == "policy":
        policy = Policy.from_document(document, name)
        assert ["Archived", "Canary", "Production", "Staging"] == list(policy.stages)
        assert Approvals(2, ("*@example.org",), signed=True) == policy.stages["Production"].approvals
        assert Gate("metric", {"name": "mse", "at_most": 2774.293307657063}) in policy.stages["Production"].gates
        assert {"later": {"key": 1}} == policy.extra
    elif kind == "config":
        config = Config.from_document(document, name)
        assert ("runs-of-team", "auto", "review", "reg") == (
            config.branch,
            config.push,
            config.promotion,
            config.registry,
        )
        assert {"later": {"key": 1}} == config.extra
    assert text == yaml.dump(document)
