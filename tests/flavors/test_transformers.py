"""Hugging Face pipelines, built from a configuration: safetensors and JSON need no trust, and nothing is fetched."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runstone.errors import InputMismatch, InvalidModelFolder, ModelFileChanged, UntrustedModel, UsageError
from runstone.flavors import pyfunc
from runstone.flavors import transformers as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.trust import Trust
from tests.flavors.boosters import edit, requirements_of
from tests.flavors.networks import check_damage, check_missing_library, check_other_version
from tests.flavors.support import ALLOWED, digests_of
from tests.support import SOURCE, run_python

torch = pytest.importorskip("torch", reason="the extra `transformers` is not installed")
transformers = pytest.importorskip("transformers", reason="the extra `transformers` is not installed")

WORDS = "[UNK] [PAD] [CLS] [SEP] [MASK] good bad thing the a day night <eos>".split()
TEXTS = ["good day [MASK]", "bad [MASK]"]
GREEDY = {"max_new_tokens": 4, "do_sample": False}


@pytest.fixture(autouse=True)
def offline_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow asks the Hub for a model card when it saves; here it is told not to. What we do needs no telling."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def make_tokenizer() -> Any:
    """Splits at spaces, and knows thirteen words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]", "eos_token": "<eos>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special)


def make_model(task: str) -> Any:
    """A tiny model with weights of chance."""
    torch.manual_seed(0)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    bert = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **small)
    if task == "text-generation":
        tokens = {"eos_token_id": 12, "bos_token_id": 12, "pad_token_id": 1}
        gpt = transformers.GPT2Config(vocab_size=len(WORDS), n_embd=8, n_layer=1, n_head=2, n_positions=64, **tokens)
        return transformers.GPT2LMHeadModel(gpt)
    kinds = {
        "feature-extraction": "BertModel",
        "fill-mask": "BertForMaskedLM",
        "text-classification": "BertForSequenceClassification",
        "token-classification": "BertForTokenClassification",
    }
    return getattr(transformers, kinds[task])(bert)


def make_pipeline(task: str) -> Any:
    """A pipeline of the two."""
    return transformers.pipeline(task, model=make_model(task), tokenizer=make_tokenizer())


def options_of(task: str) -> dict[str, Any]:
    """What makes an answer certain."""
    return {"model_config": GREEDY} if task == "text-generation" else {}


def is_same(one: Any, other: Any) -> bool:
    """Whether two answers are equal, whatever they are."""
    if isinstance(one, pd.DataFrame):
        return isinstance(other, pd.DataFrame) and one.equals(other)
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else bool(one == other)


TASKS = ["feature-extraction", "fill-mask", "text-classification", "text-generation", "token-classification"]


@pytest.mark.parametrize("task", TASKS)
def test_a_pipeline_comes_back(tmp_path: Path, task: str) -> None:
    """With and without digests, as a pipeline or as its parts; its weights are the same."""
    pipeline = make_pipeline(task)
    flavor.save(pipeline, tmp_path / "m", **options_of(task))
    for trust in (Trust(), Trust(digests_of(tmp_path / "m"))):
        loaded = flavor.load(tmp_path / "m", trust=trust)
        assert type(pipeline) is type(loaded)
        assert type(pipeline.model) is type(loaded.model)
        want, have = pipeline.model.state_dict(), loaded.model.state_dict()
        assert all(torch.equal(want[name], have[name]) for name in want | have)
        assert pipeline.tokenizer.get_vocab() == loaded.tokenizer.get_vocab()
        parts = flavor.load(tmp_path / "m", trust=trust, return_type="components", dtype="float64")
        assert ["model", "task", "tokenizer"] == sorted(parts)
        assert torch.float64 == parts["model"].dtype
    assert ["numpy", "pandas", "safetensors", "torch", "transformers"] == requirements_of(tmp_path / "m")


@pytest.mark.mlflow
@pytest.mark.parametrize("task", TASKS)
def test_mlflow_loads_what_we_save(tmp_path: Path, task: str) -> None:
    """Both its faces, with equal answers for a text, a list and a frame, and with our signature."""
    import mlflow.pyfunc
    import mlflow.transformers

    pipeline = make_pipeline(task)
    flavor.save(pipeline, tmp_path / "m", **options_of(task))
    assert type(pipeline) is type(mlflow.transformers.load_model(str(tmp_path / "m")))
    theirs, ours = mlflow.pyfunc.load_model(str(tmp_path / "m")), pyfunc.load(tmp_path / "m", trust=Trust())
    for data in (TEXTS[0], TEXTS[:1], pd.DataFrame({"text": TEXTS[:1]})):
        assert is_same(theirs.predict(data), ours.predict(data))
    if task != "feature-extraction":  # of several texts MLflow gives the features of the first alone
        assert is_same(theirs.predict(TEXTS), ours.predict(TEXTS))
    assert ours.metadata.signature is not None
    assert ours.metadata.signature.to_dict() == theirs.metadata.signature.to_dict()


@pytest.mark.mlflow
@pytest.mark.parametrize("task", TASKS)
def test_we_load_what_mlflow_saved(tmp_path: Path, task: str) -> None:
    """With and without digests as git would have them, with equal answers."""
    import mlflow.pyfunc
    import mlflow.transformers

    path = str(tmp_path / "m")
    mlflow.transformers.save_model(make_pipeline(task), path, pip_requirements=["transformers"], **options_of(task))
    theirs = mlflow.pyfunc.load_model(path)
    for trust in (Trust(), Trust(digests_of(tmp_path / "m"))):
        ours = pyfunc.load(tmp_path / "m", trust=trust)
        for data in (TEXTS[0], TEXTS[:1], pd.DataFrame({"text": TEXTS[:1]})):
            assert is_same(theirs.predict(data), ours.predict(data))


def test_features_of_several_texts(tmp_path: Path) -> None:
    """One array a text."""
    flavor.save(make_pipeline("feature-extraction"), tmp_path / "m")
    loaded = pyfunc.load(tmp_path / "m", trust=Trust())
    assert [(3, 8), (2, 8)] == [each.shape for each in loaded.predict(TEXTS)]
    np.testing.assert_array_equal(loaded.predict(TEXTS[0]), loaded.predict(TEXTS)[0])


def test_pairs_of_texts(tmp_path: Path) -> None:
    """A classifier takes them as maps or as two columns; other tasks take one text."""
    flavor.save(make_pipeline("text-classification"), tmp_path / "m", SaveOptions(signature=False))
    loaded = pyfunc.load(tmp_path / "m", trust=Trust())
    pairs = [{"text": "good", "text_pair": "day"}, {"text": "bad", "text_pair": "night"}]
    assert loaded.predict(pairs).equals(loaded.predict(pd.DataFrame(pairs)))
    assert (2, 2) == loaded.predict(pairs).shape
    for data in ([1, 2], pd.DataFrame({"a": ["x"], "b": ["y"]}), {"other": "x"}):
        with pytest.raises(InputMismatch, match=r"the model takes (texts|one column of texts), and "):
            loaded.predict(data)


@pytest.mark.mlflow
def test_prompts_and_params(tmp_path: Path) -> None:
    """A template is put around each text, and only the answer comes back; params of the signature win over the rest."""
    import mlflow.pyfunc

    flavor.save(
        make_pipeline("text-generation"),
        tmp_path / "m",
        SaveOptions(input_example=("day", {"max_new_tokens": 2})),
        model_config=GREEDY,
        prompt_template="the {prompt} good",
    )
    loaded, theirs = pyfunc.load(tmp_path / "m", trust=Trust()), mlflow.pyfunc.load_model(str(tmp_path / "m"))
    assert theirs.predict("day") == loaded.predict("day")
    assert theirs.predict("day", {"max_new_tokens": 5}) == loaded.predict("day", {"max_new_tokens": 5})
    assert len(loaded.predict("day")[0]) < len(loaded.predict("day", {"max_new_tokens": 9})[0])
    assert "the day good" not in loaded.predict("day")[0]
    for template in ("no field", "{other}", "{prompt} {prompt}", "{prompt.__class__}", "{", 7):
        with pytest.raises(UsageError, match="A prompt template is a text with one"):
            flavor.save(make_pipeline("fill-mask"), tmp_path / "n", prompt_template=template)  # type: ignore[arg-type]  # what is tested
    with pytest.raises(UsageError, match="and not for text-classification"):
        flavor.save(make_pipeline("text-classification"), tmp_path / "n", prompt_template="{prompt}")
    edit(tmp_path / "m", "the {prompt} good", "{prompt.__init__.__globals__}")
    with pytest.raises(InvalidModelFolder, match="its prompt template is wrong"):
        pyfunc.load(tmp_path / "m", trust=ALLOWED)


@pytest.mark.mlflow
def test_parts_make_a_pipeline_when_their_task_is_said(tmp_path: Path) -> None:
    """MLflow's other way to give a model; it needs its task, since nobody is asked for it."""
    import mlflow.transformers

    parts = {"model": make_model("fill-mask"), "tokenizer": make_tokenizer()}
    flavor.save(parts, tmp_path / "m", task="fill-mask", torch_dtype=torch.float64)
    assert torch.float64 == flavor.load(tmp_path / "m", trust=Trust()).model.dtype
    assert "fill-mask" == mlflow.transformers.load_model(str(tmp_path / "m")).task
    for model, task, said in (
        (parts, None, "Say it: `task="),
        (parts["model"], "fill-mask", "this is a BertForMaskedLM"),
    ):
        with pytest.raises(UsageError, match=said):
            flavor.save(model, tmp_path / "n", task=task)
    assert not (tmp_path / "n").exists()


def test_nothing_is_fetched(tmp_path: Path) -> None:
    """In a process that may open no connection and look up no name, a pipeline is saved, loaded and asked."""
    flavor.save(make_pipeline("text-classification"), tmp_path / "m")
    code = """
import sys
from pathlib import Path

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        print("asked", arguments)
        raise OSError("no network")

sys.addaudithook(refuse)
from runstone.flavors import pyfunc, transformers
from runstone.flavors.trust import Trust

model = pyfunc.load(Path("m"), trust=Trust())
print(model.predict("good").shape)
transformers.save(model.get_raw_model(), Path("again"))
"""
    done = run_python(code, cwd=tmp_path, env={"HF_HUB_OFFLINE": "0"})
    assert "(1, 2)\n" == done.stdout
    assert "Loading weights" not in done.stderr  # and it is quiet


def test_pickled_weights_need_trust(tmp_path: Path) -> None:
    """Weights in PyTorch's old format are read only if git or the caller vouches for them."""
    folder = tmp_path / "m"
    pipeline = make_pipeline("fill-mask")
    flavor.save(pipeline, folder)
    (folder / "model" / "model.safetensors").unlink()
    torch.save(pipeline.model.state_dict(), folder / "model" / "pytorch_model.bin")
    with pytest.raises(UntrustedModel):
        flavor.load(folder, trust=Trust())
    for trust in (ALLOWED, Trust(digests_of(folder))):
        loaded = flavor.load(folder, trust=trust).model.state_dict()
        assert all(torch.equal(value, loaded[name]) for name, value in pipeline.model.state_dict().items())


def test_pickled_weights_beside_others_are_not_read(tmp_path: Path) -> None:
    """Without trust only safetensors count, whatever lies beside them."""
    folder = tmp_path / "m"
    flavor.save(make_pipeline("fill-mask"), folder)
    (folder / "model" / "pytorch_model.bin").write_bytes(b"hostile")
    assert "fill-mask" == flavor.load(folder, trust=Trust()).task


@pytest.mark.parametrize("key", ["index", "settings"])
def test_weights_that_an_index_names(tmp_path: Path, key: str) -> None:
    """None is read from outside the folder, whoever vouches for it, and no pickle without trust."""
    folder = tmp_path / "m"
    flavor.save(make_pipeline("fill-mask"), folder)
    weights = folder / "model" / "model.safetensors"
    keys = list(make_model("fill-mask").state_dict())
    (tmp_path / "beside.safetensors").write_bytes(weights.read_bytes())
    torch.save(make_model("fill-mask").state_dict(), folder / "model" / "weights.bin")
    weights.rename(folder / "model" / "part.safetensors")

    def name(file: str) -> None:
        if key == "index":
            index = {"metadata": {}, "weight_map": dict.fromkeys(keys, file)}
            (folder / "model" / "model.safetensors.index.json").write_text(json.dumps(index))
        else:
            config = json.loads((folder / "model" / "config.json").read_text())
            (folder / "model" / "config.json").write_text(json.dumps(config | {"transformers_weights": file}))

    name("part.safetensors")
    assert "fill-mask" == flavor.load(folder, trust=Trust()).task
    name("weights.bin")
    with pytest.raises(UntrustedModel) as untrusted:
        flavor.load(folder, trust=Trust())
    assert "model/weights.bin" == untrusted.value.file
    for file in ("../../beside.safetensors", str(tmp_path / "beside.safetensors")):
        name(file)
        for trust in (Trust(), ALLOWED, Trust(digests_of(folder))):
            with pytest.raises(InvalidModelFolder, match="leaves the folder"):
                flavor.load(folder, trust=trust)


def test_code_of_a_model_runs_only_if_asked_and_trusted(tmp_path: Path) -> None:
    """A class that is not transformers' own: its code lies beside its weights, and two words are needed to run it."""
    code = """
import transformers

class MyConfig(transformers.BertConfig):
    model_type = "mine"

class MyModel(transformers.BertForMaskedLM):
    config_class = MyConfig
"""
    (tmp_path / "my_model.py").write_text(code)
    saving = """
import sys
from pathlib import Path
sys.path.insert(0, ".")
import my_model, transformers
from runstone.flavors import transformers as flavor
from tests.flavors.test_transformers import WORDS, make_tokenizer

my_model.MyConfig.register_for_auto_class()
my_model.MyModel.register_for_auto_class("AutoModelForMaskedLM")
small = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
model = my_model.MyModel(my_model.MyConfig(vocab_size=len(WORDS), **small))
flavor.save(transformers.pipeline("fill-mask", model=model, tokenizer=make_tokenizer()), Path("m"))
"""
    run_python(saving, cwd=tmp_path, env={"PYTHONPATH": os.pathsep.join([str(SOURCE), str(SOURCE.parent)])})
    folder = tmp_path / "m"
    assert (folder / "model" / "my_model.py").is_file()
    for asked in (False, True):
        with pytest.raises(UntrustedModel):
            flavor.load(folder, trust=Trust(), trust_remote_code=asked)
    with pytest.raises(InvalidModelFolder, match=r"have it run: `trust_remote_code=True`"):
        flavor.load(folder, trust=ALLOWED)
    for trust in (ALLOWED, Trust(digests_of(folder))):
        assert "MyModel" == type(flavor.load(folder, trust=trust, trust_remote_code=True).model).__name__
    config = folder / "model" / "config.json"
    config.write_text(config.read_text().replace('"my_model.MyModel"', '"someone/else--my_model.MyModel"'))
    with pytest.raises(InvalidModelFolder, match="its code is not in the folder"):
        flavor.load(folder, trust=ALLOWED, trust_remote_code=True)


def test_code_that_a_known_class_names_is_not_run(tmp_path: Path) -> None:
    """Settings with an `auto_map` do not make transformers run the file that they name."""
    folder = tmp_path / "m"
    flavor.save(make_pipeline("fill-mask"), folder)
    (folder / "model" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for file in ("model/config.json", "components/tokenizer/tokenizer_config.json"):
        settings = json.loads((folder / file).read_text())
        named = {"AutoConfig": "evil.C", "AutoModelForMaskedLM": "evil.M", "AutoTokenizer": ["evil.T", "evil.T"]}
        (folder / file).write_text(json.dumps(settings | {"auto_map": named}))
    assert "fill-mask" == flavor.load(folder, trust=Trust()).task
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "_experts_implementation"])
def test_kernels_by_name_need_trust(tmp_path: Path, key: str) -> None:
    """Compiled code that the settings would have transformers fetch."""
    folder = tmp_path / "m"
    flavor.save(make_pipeline("fill-mask"), folder)
    config = folder / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"inner": [{key: {"x": "someone/kernel"}}]}))
    with pytest.raises(UntrustedModel):
        flavor.load(folder, trust=Trust())


@pytest.mark.parametrize("wanted", ["os", "pipeline", "BertConfig", "../x", "NoSuchModel", "7"])
def test_classes_that_are_no_models_are_not_called(tmp_path: Path, wanted: str) -> None:
    """A name from the folder is looked up among transformers' models alone."""
    folder = tmp_path / "m"
    flavor.save(make_pipeline("fill-mask"), folder)
    edit(folder, "pipeline_model_type: BertForMaskedLM", f"pipeline_model_type: '{wanted}'")
    with pytest.raises(UntrustedModel):
        flavor.load(folder, trust=Trust())
    with pytest.raises(InvalidModelFolder, match="is none of transformers"):
        flavor.load(folder, trust=ALLOWED, trust_remote_code=True)


def test_a_tokenizer_of_an_unknown_class_is_found_by_its_settings(tmp_path: Path) -> None:
    """Class names come and go with versions of transformers; the settings beside the tokenizer tell enough."""
    folder = tmp_path / "m"
    flavor.save(make_pipeline("fill-mask"), folder)
    kind = type(make_tokenizer()).__name__
    edit(folder, f"tokenizer_type: {kind}", "tokenizer_type: NoSuchTokenizer")
    assert make_tokenizer().get_vocab() == flavor.load(folder, trust=Trust()).tokenizer.get_vocab()


def test_what_pyfunc_does_not_do_is_said(tmp_path: Path) -> None:
    """Tasks without text, chats, weights on the Hub, and unknown types."""
    folder = tmp_path / "m"
    flavor.save(make_pipeline("fill-mask"), folder)
    edit(folder, "task: fill-mask", "inference_task: llm/v1/chat\n    task: fill-mask")
    with pytest.raises(InvalidModelFolder, match="`pyfunc` does not predict for its task `llm/v1/chat`"):
        pyfunc.load(folder, trust=Trust())
    assert "fill-mask" == flavor.load(folder, trust=Trust()).task
    edit(folder, "torch_dtype: torch.float32", "torch_dtype: torch.load")
    with pytest.raises(InvalidModelFolder, match=r"'torch\.load', which is no type of PyTorch's"):
        flavor.load(folder, trust=Trust())
    edit(folder, "model_binary: model", "source_model_revision: abc")
    with pytest.raises(InvalidModelFolder, match="are on the Hugging Face Hub and not in the folder"):
        flavor.load(folder, trust=Trust())
    with pytest.raises(UsageError, match="`return_type` must be"):
        flavor.load(folder, trust=Trust(), return_type="model")


def test_damage(tmp_path: Path) -> None:
    """Every damage of weights, settings and tokenizer is an error that names it."""
    for i, file in enumerate(["model/model.safetensors", "model/config.json"]):
        flavor.save(make_pipeline("fill-mask"), tmp_path / f"{i}")
        check_damage("transformers", tmp_path / f"{i}", file, "model_binary: model")
    flavor.save(make_pipeline("fill-mask"), tmp_path / "m")
    recorded = digests_of(tmp_path / "m")
    (tmp_path / "m" / "components" / "tokenizer" / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(ModelFileChanged) as changed:
        flavor.load(tmp_path / "m", trust=Trust(recorded))
    assert "components/tokenizer/tokenizer.json" == changed.value.file
    with pytest.raises(InvalidModelFolder, match="transformers cannot load `tokenizer`"):
        flavor.load(tmp_path / "m", trust=Trust())


def test_other_versions_and_none(tmp_path: Path) -> None:
    """A warning that names both; an error that says what to install."""
    flavor.save(make_pipeline("fill-mask"), tmp_path / "m")
    check_missing_library("transformers", tmp_path / "m", "transformers")
    check_other_version("transformers", tmp_path / "m", "transformers", "transformers_version")
