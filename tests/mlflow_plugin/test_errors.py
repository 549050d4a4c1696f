"""What a store raises is MLflow's, with MLflow's code."""

import pytest
from mlflow.exceptions import MlflowException

from runstone.errors import InvalidValue, RunNotFound, RunstoneError
from runstone.mlflow_plugin.errors import SpeaksMlflow, speak_mlflow, to_mlflow


class Odd(RunstoneError):
    """An error with a code that MLflow does not have."""

    error_code = "NO_SUCH_CODE"


class Broken(RunstoneError):
    """An error with a code that MLflow's server answers with 500."""

    error_code = "INVALID_STATE"


class Part(SpeaksMlflow):
    """A part of a store."""

    def find(self) -> None:
        """Raise an error of ours."""
        raise RunNotFound("abc")

    def _inside(self) -> None:
        raise InvalidValue("No.")

    def refuse(self) -> None:
        """Raise MLflow's own."""
        raise MlflowException("Mine.", error_code=5)

    def break_down(self) -> None:
        """Raise what is no error of ours."""
        raise KeyError("bug")


def test_an_error_of_ours_becomes_mlflows_with_its_code_and_its_words() -> None:
    """The code is the one that the class of the error names, the cause is kept, and methods with _ speak it, too."""
    with pytest.raises(MlflowException) as raised:
        Part().find()
    assert ("RESOURCE_DOES_NOT_EXIST", str(RunNotFound("abc"))) == (raised.value.error_code, raised.value.message)
    assert isinstance(raised.value.__cause__, RunNotFound)
    with pytest.raises(MlflowException) as inside:
        Part()._inside()
    assert "INVALID_PARAMETER_VALUE" == inside.value.error_code


def test_other_errors_pass() -> None:
    """What MLflow itself raises, and what is a bug, is left as it is."""
    with pytest.raises(MlflowException, match="Mine") as raised:
        Part().refuse()
    assert raised.value.__cause__ is None
    with pytest.raises(KeyError, match="bug"):
        Part().break_down()


def test_no_error_has_clients_of_a_server_ask_again() -> None:
    """A code that MLflow does not know, or answers with 5xx, would have them try for minutes, and lose the words."""
    assert ["BAD_REQUEST"] * 3 == [to_mlflow(e("x")).error_code for e in (Odd, Broken, RunstoneError)]
    assert {400} == {to_mlflow(e("x")).get_http_status_code() for e in (Odd, Broken, RunstoneError)}


def test_a_method_is_translated_once() -> None:
    """To decorate a class that derives from the base wraps nothing twice."""
    before = Part.find
    assert before is speak_mlflow(Part).find
