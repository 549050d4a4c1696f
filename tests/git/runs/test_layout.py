"""Where records lie: record to path and back."""

from runstone.git.runs import layout


def test_run_folder_and_its_inverse() -> None:
    """Experiment, UTC day, last two characters, id."""
    folder = layout.run_folder("churn", 1_767_225_599_999, "0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b")
    assert "experiments/churn/2025-12-31/6b/0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b" == folder
    assert layout.RunPath("churn", "2025-12-31", "0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b") == layout.parse_run_folder(folder)


def test_other_paths_are_no_run_folders() -> None:
    """A path of another shape, or in the wrong shard, is None."""
    for path in ("", "experiments/churn", "experiments/churn/2025-12-31/aa/run-1", "other/churn/2025-12-31/-1/run-1"):
        assert layout.parse_run_folder(path) is None


def test_day_of_made_ids_only() -> None:
    """An id that Runstone makes tells its day; a user's own key does not, even of 32 hex digits that are no time."""
    assert "2024-11-03" == layout.day_of("0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b")
    assert layout.day_of("my-run") is None
    assert layout.day_of("f" * 12 + "7" + "0" * 19) is None


def test_experiment_paths() -> None:
    """An experiment's record lies at the top of its folder."""
    assert "experiments/churn/experiment.yaml" == layout.experiment_file("churn")
    assert "experiments/churn" == layout.experiment_folder("churn")
