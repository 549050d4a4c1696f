"""Models for applications: out of a repository at a URL, without a clone of it; and as a function in Spark."""

from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from runstone import fluent
from runstone.errors import InvalidModelFolder
from runstone.flavors import pyfunc as flavor
from runstone.flavors.pyfunc import PyFuncModel
from runstone.flavors.trust import Trust
from runstone.models import load_trusted
from runstone.registry import resolve as registry

__all__ = ["load_model", "spark_udf"]


def load_model(
    model_uri: str,
    *,
    repo: str | None = None,
    dst_path: str | PathLike[str] | None = None,
    model_config: Mapping[str, Any] | None = None,
    allow_pickle: bool = False,
) -> PyFuncModel:
    """Load a model of any known flavor, from here or from a repository elsewhere.

    Of a repository elsewhere no clone is made: git brings the version's tag, the record of its run and the registry's
    files, and DVC the model's bytes, by the digest in the tag. What the server lets git leave out, is left out.

        model = runstone.load_model("models:/churn@champion", repo="https://host/team/churn.git")

    Args:
        model_uri: `models:/<name>/<version>`, `models:/<name>@<alias>`, `models:/<name>/<Stage>` or
            `runs:/<run id>/<path>`; without `repo`, a folder.
        repo: Where the repository is, as `git clone` takes it; None for the one at hand.
        dst_path: An existing folder to keep a copy of the model folder in.
        model_config: Values for settings that the model was saved with.
        allow_pickle: You trust a folder; see `runstone.sklearn.load_model`.

    Raises:
        RemoteModelFailed: The repository cannot be read.
        RemoteNotConfigured: It names no DVC remote, so nobody else can have its bytes.
        ModelNotFound, VersionNotFound, AliasNotFound, StageNotFound, RunNotFound: There is no such model or run.
        ModelFileChanged, ArtifactCorrupt: A file is not the one git recorded.
    """
    load = partial(flavor.load, model_config=model_config)
    if repo is None:
        return load_trusted(model_uri, dst_path, allow_pickle, load)
    from runstone.registry.distant import distant

    with distant(repo, model_uri) as workspace:
        resolved = registry.resolve(workspace, model_uri)
        if resolved.entries[0].path == resolved.path:
            raise InvalidModelFolder(Path(resolved.path), f"{model_uri} is a file, and a model is a folder")
        trust = Trust(digests=resolved.digests)
        if dst_path is not None:
            folder = Path(dst_path) / (resolved.path.rpartition("/")[2] or "model")
            workspace.artifacts.fetch(resolved.entries, folder, strip=resolved.path)
            return load(folder, trust=trust)
        with registry.checked_out(workspace, resolved) as folder:
            return load(folder, trust=trust)


def spark_udf(
    spark: Any,
    model_uri: str,
    result_type: Any = None,
    *,
    params: Mapping[str, Any] | None = None,
    allow_pickle: bool = False,
) -> Callable[..., Any]:
    """A model as a function of columns in Spark.

        predict = runstone.pyfunc.spark_udf(spark, "models:/churn@champion")
        frame.withColumn("prediction", predict())

    The model goes to the executors with the function, and is held against the digests in git there again. They need
    Runstone and the model's library.

    Args:
        spark: The session.
        model_uri: `models:/…`, `runs:/…`, or a folder.
        result_type: A Spark type or its text, such as `double` or `array<double>`; None takes that of the signature's
            output, and `double` where it has none.
        params: Params of the model.
        allow_pickle: You trust a folder.

    Returns:
        A function. It takes columns, in the order of the signature's inputs; or one struct of them; or nothing, and
        then uses the columns that the signature names.

    Raises:
        MissingLibrary: pyspark is not installed.
        UntrustedModel: A folder with pickled weights or code, and `allow_pickle` is not said.
    """
    from runstone.scoring.packed import pack
    from runstone.scoring.spark import make_udf
    from runstone.serving.resolve import identify, opened

    workspace = fluent.client().workspace if model_uri.startswith(("runs:/", "models:/")) else None
    with opened(workspace, identify(workspace, model_uri), allow_pickle=allow_pickle) as (folder, trust):
        packed = pack(folder, trust)
        metadata = flavor.load(folder, trust=trust).metadata  # here, so that what is wrong with it is said at once
    outputs, inputs = metadata.get_output_schema(), metadata.get_input_schema()
    return make_udf(spark, packed, outputs, inputs, result_type, params or {})
