"""A model as a function in a local Spark: the predictions are those of pandas."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
if shutil.which("java") is None:
    pytest.skip("there is no Java for Spark", allow_module_level=True)

from runstone import pyfunc  # after what may skip the file
from runstone.errors import UntrustedModel
from tests.scoring.support import EXPECTED


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session with two threads."""
    from pyspark.sql import SparkSession

    builder: Any = SparkSession.builder
    builder = builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.execution.arrow.pyspark.enabled", "false").getOrCreate()
    yield session
    session.stop()


@pytest.mark.timeout(300)
def test_predictions_in_spark(folder: Path, table: Any, spark: Any, tmp_path: Path) -> None:
    """By the signature's names, by columns, by a struct; the type is that of the signature, or the one asked for."""
    from pyspark.sql import functions

    table.to_parquet(tmp_path / "in.parquet")
    frame = spark.read.parquet(str(tmp_path / "in.parquet"))
    predict = pyfunc.spark_udf(spark, str(folder))
    scored = (
        frame.withColumn("named", predict())
        .withColumn("given", predict("a", "b"))
        .withColumn("struct", predict(functions.struct("b", "a", "note")))
        .withColumn("text", pyfunc.spark_udf(spark, str(folder), "string")("a", "b"))
    )
    assert "double" == dict(scored.dtypes)["named"]
    assert "string" == dict(scored.dtypes)["text"]
    rows = sorted(scored.select("id", "named", "given", "struct", "text").collect())
    for column in range(1, 5):
        assert pytest.approx(EXPECTED) == [float(row[column]) for row in rows]


@pytest.mark.timeout(300)
def test_pickled_models_need_a_word(table: Any, spark: Any, tmp_path: Path) -> None:
    """As wherever else."""
    from runstone.flavors import sklearn as flavor
    from runstone.flavors.protocol import SaveOptions
    from tests.scoring.support import linear

    flavor.save(linear()[0], tmp_path / "pickled", SaveOptions(signature=False), serialization_format="pickle")
    with pytest.raises(UntrustedModel):
        pyfunc.spark_udf(spark, str(tmp_path / "pickled"))
