"""Artifacts made from objects are files that the usual libraries read back."""

import datetime
import io
import json
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import yaml
from PIL import Image

from runstone.errors import InvalidValue
from runstone.tracking.media import dictionary_bytes, figure_bytes, image_bytes, table_bytes


def test_a_dictionary_is_yaml_or_json_by_its_name() -> None:
    """Numbers of numpy, dates and other values that JSON lacks become plain."""
    value = {"b": 1, "a": [1.5, None, "é"]}
    assert (
        value == yaml.safe_load(dictionary_bytes(value, "x.yaml")) == yaml.safe_load(dictionary_bytes(value, "X.YML"))
    )
    assert value == json.loads(dictionary_bytes(value, "x.json")) == json.loads(dictionary_bytes(value, "x"))
    odd = {"n": np.int64(3), "array": np.array([1, 2]), "day": datetime.date(2026, 11, 22)}
    assert {"n": 3, "array": [1, 2], "day": "2026-11-22"} == json.loads(dictionary_bytes(odd, "x.json"))
    for name, bad in [("x.yaml", {"o": object()}), ("x.json", {(1, 2): 3})]:
        with pytest.raises(InvalidValue, match=f"'{name}' cannot hold this dictionary: "):
            dictionary_bytes(bad, name)


def test_figures_of_matplotlib() -> None:
    """In the format of the name; axes stand for their figure; options are passed on."""
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([1, 2])
    try:
        assert (200, 100) == Image.open(io.BytesIO(figure_bytes(figure, "a.png"))).size
        assert (100, 50) == Image.open(io.BytesIO(figure_bytes(axes, "a.png", {"dpi": 50}))).size
        assert figure_bytes(figure, "a.svg").startswith(b"<?xml")
        assert figure_bytes(figure, "plots/a.pdf").startswith(b"%PDF")
        with pytest.raises(InvalidValue, match=r"A figure cannot be saved as 'a\.what'"):
            figure_bytes(figure, "a.what")
    finally:
        plt.close(figure)


def test_figures_of_plotly() -> None:
    """As a page or as JSON."""
    figure = go.Figure(go.Scatter(y=[1, 3]))
    assert b"<html>" in figure_bytes(figure, "a.html")
    assert [1, 3] == json.loads(figure_bytes(figure, "a.json"))["data"][0]["y"]
    with pytest.raises(InvalidValue, match="A figure of matplotlib or plotly is needed, but this is"):
        figure_bytes("no figure", "a.png")


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (np.zeros((2, 3), "uint8"), "L"),
        (np.zeros((2, 3, 1), "int64") + 255, "L"),
        (np.ones((2, 3, 3)), "RGB"),
        (np.zeros((2, 3, 4), "uint8"), "RGBA"),
        (np.ones((2, 3), bool), "L"),
    ],
)
def test_arrays_are_images(array: Any, mode: str) -> None:
    """Whole numbers of 0 to 255, floats of 0 to 1, and truth values; one, three or four channels."""
    image = Image.open(io.BytesIO(image_bytes(array, "a.png")))
    assert ((3, 2), mode, "PNG") == (image.size, image.mode, image.format)
    assert float(array.max()) * (255 if array.dtype.kind in "fb" else 1) == np.asarray(image).max()


def test_images_of_pillow_keep_their_mode_where_the_format_can() -> None:
    """JPEG knows no transparency, so it goes."""
    image = Image.new("RGBA", (4, 5), (255, 0, 0, 128))
    assert ("RGBA", "PNG") == ((png := Image.open(io.BytesIO(image_bytes(image, "a.png")))).mode, png.format)
    assert ("RGB", "JPEG") == ((jpeg := Image.open(io.BytesIO(image_bytes(image, "a.JPG")))).mode, jpeg.format)
    with pytest.raises(InvalidValue, match="does not end in the name of an image format"):
        image_bytes(image, "a.txt")


@pytest.mark.parametrize(
    "array", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((2, 2)) - 1, np.full((2, 2), 256), np.array([["a"]])]
)
def test_other_arrays_are_refused(array: Any) -> None:
    """Values out of range are not wrapped round, and shapes are not guessed."""
    with pytest.raises(InvalidValue, match=r"image"):
        image_bytes(array, "a.png")


@pytest.mark.mlflow
def test_a_table_grows() -> None:
    """Frames and dictionaries of columns; rows logged later come after, columns that are new are empty before."""
    first = table_bytes(pd.DataFrame({"a": [1, 2], "b": [0.5, float("nan")]}), "t.json", None)
    assert {"columns": ["a", "b"], "data": [[1, 0.5], [2, None]]} == json.loads(first)
    second = table_bytes({"a": 3, "c": "x"}, "t.json", first)
    both = {"columns": ["a", "b", "c"], "data": [[1, 0.5, None], [2, None, None], [3, None, "x"]]}
    assert both == json.loads(second)
    frame = pd.read_json(io.BytesIO(second), orient="split")
    assert [1, 2, 3] == frame["a"].tolist()


@pytest.mark.parametrize(
    ("data", "name", "before", "problem"),
    [
        ({"a": [1]}, "t.csv", None, r"A table is kept as JSON, so 't\.csv' must end in `\.json`\."),
        ([1, 2], "t.json", None, "A table must be a DataFrame or a dictionary of columns"),
        ({"a": [1, 2], "b": [1]}, "t.json", None, "The columns of a table must have one length"),
        ({"a": [1]}, "t.json", b"[1]", r"'t\.json' is no table, so no rows can be added"),
        ({"a": [1]}, "t.json", b"no json", r"'t\.json' is no table, so no rows can be added"),
    ],
)
def test_what_is_no_table_is_refused(data: Any, name: str, before: bytes | None, problem: str) -> None:
    """Also where another file already has the name."""
    with pytest.raises(InvalidValue, match=problem):
        table_bytes(data, name, before)
