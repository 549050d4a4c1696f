"""A small grid search as a user writes it, tracked, registered and reloaded; run by the story beside it."""

import sys

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import train_test_split

import runstone
import runstone.sklearn
from runstone.models import infer_signature

X, y = load_diabetes(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=7)

runstone.set_experiment("Ridge on diabetes")
with runstone.start_run(run_name="sweep") as sweep:
    runstone.log_input(X_train, context="train", name="diabetes")
    for alpha in (0.01, 0.1, 1.0, 10.0):
        with runstone.start_run(nested=True):
            model = Ridge(alpha=alpha).fit(X_train, y_train)
            predicted = model.predict(X_test)
            error = mean_absolute_error(y_test, predicted)
            runstone.log_params({"alpha": alpha, "solver": model.solver})
            for step in range(3):
                runstone.log_metric("progress", step / 2, step=step)
            runstone.log_metric("mae", error)
            runstone.log_dict({"largest error": float(np.abs(y_test - predicted).max())}, "errors.json")
            runstone.sklearn.log_model(model, "ridge", signature=infer_signature(X_test, predicted))

client = runstone.Client()
experiment = client.get_experiment_by_name("Ridge on diabetes")
assert experiment is not None
best = client.search_runs([experiment.experiment_id], "metrics.mae > 0", order_by=["metrics.mae ASC"], max_results=1)[0]
version = runstone.register_model(f"runs:/{best.info.run_id}/ridge", "ridge")
client.set_registered_model_alias("ridge", "champion", version.version)
again = runstone.sklearn.load_model("models:/ridge@champion").predict(X_test)
assert mean_absolute_error(y_test, again) == best.data.metrics["mae"]
print(best.info.run_id, best.data.params["alpha"], version.version, sweep.info.run_id)
sys.exit(0)
