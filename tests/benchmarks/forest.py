"""A workload: a grid of random forests, each a run with a model and a plot; the best is registered and reloaded.

It is written against MLflow's fluent API, so that it runs with Runstone and with MLflow: `--api`. It ends with 0
only if the reloaded model is as good as its record says.
"""

import argparse
import importlib
from itertools import product

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--api", default="runstone", choices=["runstone", "mlflow"])
parser.add_argument("--small", action="store_true")
options = parser.parse_args()
sizes, depths = ((10,), (3, 5)) if options.small else ((10, 50, 100, 200), (3, 5, 10, None))

api = importlib.import_module(options.api)
flavor = importlib.import_module(f"{options.api}.sklearn")
client = api.MlflowClient() if options.api == "mlflow" else api.Client()
pickled = {"serialization_format": "cloudpickle"} if options.api == "mlflow" else {}  # its default refuses trees
experiment = api.set_experiment("forests of diabetes")

x, y = load_diabetes(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=7)

for size, depth in product(sizes, depths):
    with api.start_run():
        forest = RandomForestRegressor(n_estimators=size, max_depth=depth, random_state=7)
        forest.fit(x_train, y_train)
        guessed = forest.predict(x_test)
        error = mean_squared_error(y_test, guessed)
        api.log_params({"size": size, "depth": depth})
        api.log_metric("error", error)
        api.log_metric("r2", r2_score(y_test, guessed))
        flavor.log_model(forest, "forest", **pickled)
        figure, axes = plt.subplots(figsize=(6, 4))
        axes.scatter(y_test, guessed, alpha=0.6)
        axes.plot([y_test.min(), y_test.max()], [y_test.min(), y_test.max()], "--")
        axes.set_title(f"{size} trees, depth {depth}")
        figure.savefig("guessed.png")
        plt.close(figure)
        api.log_artifact("guessed.png")
        print(f"{size} trees, depth {depth}: {error:.1f}")

best = client.search_runs([experiment.experiment_id], order_by=["metrics.error ASC"], max_results=1)[0]
version = api.register_model(f"runs:/{best.info.run_id}/forest", "forest")
client.set_registered_model_alias("forest", "champion", version.version)
champion = flavor.load_model("models:/forest@champion")
assert abs(mean_squared_error(y_test, champion.predict(x_test)) - best.data.metrics["error"]) < 1e-6
assert len(api.search_runs([experiment.experiment_id])) == len(sizes) * len(depths)
