"""spaCy pipelines: those of spaCy's own parts are data; a text categorizer predicts."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runstone.errors import InputMismatch, InvalidModelFolder, ModelFileChanged, UntrustedModel, UsageError
from runstone.flavors import pyfunc
from runstone.flavors import spacy as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.trust import Trust
from tests.flavors.boosters import requirements_of
from tests.flavors.networks import check_damage, check_missing_library, check_other_version
from tests.flavors.support import ALLOWED, digests_of
from tests.support import run_python

spacy = pytest.importorskip("spacy", reason="the extra `spacy` is not installed")

TEXTS = ["a good day", "an ugly night", "neither"]
FRAME = pd.DataFrame({"text": TEXTS}, index=list("xyz"))


@pytest.fixture(scope="session")
def categorizer() -> Any:
    """A blank pipeline with a small text categorizer that has seen two texts."""
    from spacy.training import Example

    nlp = spacy.blank("en")
    model = {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": True, "ngram_size": 1, "length": 64}
    part = nlp.add_pipe("textcat", config={"model": model | {"no_output_layer": False}})
    seen = [
        Example.from_dict(nlp.make_doc("good day"), {"cats": {"fair": 1.0, "foul": 0.0}}),
        Example.from_dict(nlp.make_doc("ugly night"), {"cats": {"fair": 0.0, "foul": 1.0}}),
    ]
    for label in ("fair", "foul"):
        part.add_label(label)
    nlp.initialize(lambda: seen)
    for _ in range(5):
        nlp.update(seen)
    return nlp


def recognizer() -> Any:
    """A blank pipeline that finds one name by a rule; it predicts nothing."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Ada"}])
    return nlp


def scores_of(nlp: Any) -> list[dict[str, float]]:
    """What the pipeline says to the texts, one by one."""
    return [nlp(text).cats for text in TEXTS]


def configure(folder: Path, old: str, new: str) -> None:
    """Exchange a text in the pipeline's settings, as a hostile hand would."""
    file = folder / "model.spacy" / "config.cfg"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_pipeline_comes_back_and_predicts(tmp_path: Path, categorizer: Any) -> None:
    """With and without digests; a frame's rows keep their names."""
    flavor.save(categorizer, tmp_path / "m", SaveOptions(input_example=FRAME))
    expected = scores_of(categorizer)
    assert expected[0]["fair"] > expected[1]["fair"]
    for trust in (Trust(), Trust(digests_of(tmp_path / "m"))):
        assert expected == scores_of(flavor.load(tmp_path / "m", trust=trust))
        found = pyfunc.load(tmp_path / "m", trust=trust).predict(FRAME)
        for want, have in zip(expected, found["predictions"], strict=True):
            assert want == pytest.approx(have)
        assert list("xyz") == found.index.tolist()
    assert ["pandas", "spacy"] == requirements_of(tmp_path / "m")


def test_a_pipeline_without_a_categorizer_is_loaded_and_predicts_nothing(tmp_path: Path) -> None:
    """As in MLflow, it has no python_function."""
    flavor.save(recognizer(), tmp_path / "m")
    document = flavor.load(tmp_path / "m", trust=Trust())("Hello Ada!")
    assert [("Ada", "PERSON")] == [(each.text, each.label_) for each in document.ents]
    with pytest.raises(InvalidModelFolder, match="it has no flavor `python_function`, but `spacy`"):
        pyfunc.load(tmp_path / "m", trust=Trust())
    assert ["spacy"] == requirements_of(tmp_path / "m")


@pytest.mark.mlflow
def test_mlflow_loads_what_we_save(tmp_path: Path, categorizer: Any) -> None:
    """Both its faces, with equal answers, and with our signature."""
    import mlflow.pyfunc
    import mlflow.spacy

    flavor.save(categorizer, tmp_path / "m", SaveOptions(input_example=FRAME))
    assert scores_of(categorizer) == scores_of(mlflow.spacy.load_model(str(tmp_path / "m")))
    theirs, ours = mlflow.pyfunc.load_model(str(tmp_path / "m")), pyfunc.load(tmp_path / "m", trust=Trust())
    for want, have in zip(theirs.predict(FRAME)["predictions"], ours.predict(FRAME)["predictions"], strict=True):
        assert want == pytest.approx(have)
    assert ours.metadata.signature is not None
    assert ours.metadata.signature.to_dict() == theirs.metadata.signature.to_dict()
    flavor.save(recognizer(), tmp_path / "n")
    assert ["entity_ruler"] == mlflow.spacy.load_model(str(tmp_path / "n")).pipe_names


@pytest.mark.mlflow
def test_we_load_what_mlflow_saved(tmp_path: Path, categorizer: Any) -> None:
    """With and without digests as git would have them."""
    import mlflow.pyfunc
    import mlflow.spacy

    path = str(tmp_path / "m")
    mlflow.spacy.save_model(categorizer, path, input_example=FRAME, pip_requirements=["spacy"])
    expected = mlflow.pyfunc.load_model(path).predict(FRAME)["predictions"]
    for trust in (Trust(), Trust(digests_of(tmp_path / "m"))):
        found = pyfunc.load(tmp_path / "m", trust=trust).predict(FRAME)["predictions"]
        for want, have in zip(expected, found, strict=True):
            assert want == pytest.approx(have)
        assert ["textcat"] == flavor.load(tmp_path / "m", trust=trust).pipe_names


def test_texts_and_lists_of_them(tmp_path: Path, categorizer: Any) -> None:
    """Without a signature they need no frame; what is no text is bad input."""
    flavor.save(categorizer, tmp_path / "m")
    loaded = pyfunc.load(tmp_path / "m", trust=Trust())
    assert [pytest.approx(scores_of(categorizer)[0])] == loaded.predict(TEXTS[0])["predictions"].tolist()
    assert 3 == len(loaded.predict(TEXTS))
    with pytest.raises(InputMismatch, match="the model takes texts, and some of these are none"):
        loaded.predict(pd.DataFrame({"text": ["a", None]}))
    with pytest.raises(InputMismatch, match="the model takes one column of texts, and this has 2"):
        loaded.predict(pd.DataFrame({"a": ["a"], "b": ["b"]}))


def test_a_component_of_ones_own_travels_by_code_paths(tmp_path: Path) -> None:
    """The code is imported if someone vouches for it; else the error says what to do."""
    (tmp_path / "my_part.py").write_text(
        "from spacy.language import Language\n@Language.component('shout')\ndef shout(doc):\n"
        "    doc.user_data['shout'] = doc.text.upper()\n    return doc\n"
    )
    saving = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
import spacy, my_part
from runstone.flavors import spacy as flavor
from runstone.flavors.protocol import SaveOptions

nlp = spacy.blank("en")
nlp.add_pipe("shout")
flavor.save(nlp, Path("m"), SaveOptions(code_paths=["my_part.py"]))
"""
    loading = """
from pathlib import Path
from runstone.errors import RunstoneError
from runstone.flavors import spacy as flavor
from runstone.flavors.trust import Trust

for trust in (Trust(), Trust(allow_pickle=True)):
    try:
        print(flavor.load(Path("m"), trust=trust)("hi").user_data["shout"])
    except RunstoneError as error:
        print(type(error).__name__, "import them first" in str(error))
"""
    run_python(saving, cwd=tmp_path)
    (tmp_path / "my_part.py").unlink()
    assert "InvalidModelFolder True\nHI\n" == run_python(loading, cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"spacy.Tokenizer.v1"', '"other.Tokenizer.v1"'),
        (
            "before_creation = null",
            'before_creation = {"@callbacks": "spacy.copy_from_base_model.v1", "vocab": "evil"}',
        ),
        (
            "[nlp.tokenizer]\n",
            '[nlp.tokenizer]\nexceptions = {"@readers": "srsly.read_json.v1", "path": "/etc/passwd"}\n',
        ),
        ("[nlp.tokenizer]\n", '[nlp.tokenizer]\nrules = [{"@layers": "PyTorchWrapper.v3"}]\n'),
        ("[nlp.tokenizer]\n", '[nlp.tokenizer]\nrules = {"@misc": "spacy.KBFromFile.v1"}\n'),
        ('factory = "entity_ruler"', 'factory = "entity_ruler"\nsource = "evil_model"'),
    ],
    ids=["function", "callback", "reader", "layer", "file", "source"],
)
def test_what_is_not_spacys_own_needs_trust(tmp_path: Path, old: str, new: str) -> None:
    """Other functions, callbacks, readers of files and other models, also where a reference leads to them."""
    flavor.save(recognizer(), tmp_path / "m")
    configure(tmp_path / "m", old, new)
    with pytest.raises(UntrustedModel) as error:
        flavor.load(tmp_path / "m", trust=Trust())
    assert "model.spacy/config.cfg" == error.value.file


def test_references_are_followed(tmp_path: Path) -> None:
    """A function is found where it is used, wherever the settings keep it."""
    flavor.save(recognizer(), tmp_path / "m")
    configure(tmp_path / "m", "[system]\n", '[system]\nhidden = {"@callbacks": "spacy.copy_from_base_model.v1"}\n')
    assert ["entity_ruler"] == flavor.load(tmp_path / "m", trust=Trust()).pipe_names  # nobody asks for it
    configure(tmp_path / "m", "before_creation = null", "before_creation = ${system.hidden}")
    with pytest.raises(UntrustedModel):
        flavor.load(tmp_path / "m", trust=Trust())


def test_files_that_git_did_not_record_are_not_seen(tmp_path: Path, categorizer: Any) -> None:
    """Every file of the pipeline is held against its digest, and what lies beside them is left out."""
    folder = tmp_path / "m"
    flavor.save(categorizer, folder)
    recorded = digests_of(folder)
    part = folder / "model.spacy" / "textcat" / "model"
    part.write_bytes(part.read_bytes() + b"x")
    with pytest.raises(ModelFileChanged) as changed:
        flavor.load(folder, trust=Trust(recorded))
    assert "model.spacy/textcat/model" == changed.value.file
    (tmp_path / "outside").write_bytes(part.read_bytes())
    part.unlink()
    part.symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidModelFolder, match="is a link that leads out of the folder"):
        flavor.load(folder, trust=ALLOWED)


def test_damage(tmp_path: Path, categorizer: Any) -> None:
    """Every damage of the pipeline is an error that names it."""
    flavor.save(categorizer, tmp_path / "m")
    check_damage("spacy", tmp_path / "m", "model.spacy/config.cfg", "data: model.spacy")
    flavor.save(categorizer, tmp_path / "n")
    check_damage("spacy", tmp_path / "n", "model.spacy/textcat/model", "data: model.spacy")


def test_other_versions_and_none(tmp_path: Path) -> None:
    """A warning that names both; an error that says what to install."""
    flavor.save(recognizer(), tmp_path / "m")
    check_missing_library("spacy", tmp_path / "m", "spacy")
    check_other_version("spacy", tmp_path / "m", "spacy", "spacy_version")


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    """Only pipelines are."""
    with pytest.raises(UsageError, match=r"A spaCy pipeline is a `spacy\.Language`, and this is a str"):
        flavor.save("en_core_web_sm", tmp_path / "m")
    assert not (tmp_path / "m").exists()
