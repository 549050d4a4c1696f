"""MLflow's UI in a real browser, on a repository: what its pages show, and that the server does not stumble once."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest

from tests.mlflow_plugin.serving import Server, serving, until
from tests.support import git, make_repository

pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
compat = pytest.importorskip("runstone.mlflow_plugin.compat", reason="MLflow is of a version that is not supported")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.mlflow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
    pytest.mark.skipif(not compat.is_since((3, 0)), reason="these are the pages of MLflow 3"),
]
NOT_FOUND_BY_DESIGN = ("/users/current", "/model-versions/get-artifact", "/review-queues/get-or-create-user")
"""What is asked of every server, and ours has not."""

FILL = """
import json, struct, tempfile, warnings, zlib
from pathlib import Path
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

def image(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\\0" + bytes((200, 30, 60)) * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\\x89PNG\\r\\n\\x1a\\n" + data

client, begun = MlflowClient(), 1790000000000
experiment = client.create_experiment("churn", tags={"team": "growth"})
client.create_experiment("pricing")
runs = []
for number in range(30):
    run = client.create_run(experiment, run_name=f"run-{number:02d}", start_time=begun + number * 1000).info.run_id
    runs.append(run)
    points = [Metric(key, 1 / (step + 1) + number / 100, begun + step, step) for step in range(50)
              for key in ("loss", "val/loss")]
    points.append(Metric("auc", 0.5 + number * 7 % 30 / 100, begun, 0))
    params = [Param("lr", str((number + 1) / 100)), Param("depth", str(number % 5))]
    client.log_batch(run, points, params, [RunTag("kind", "odd" if number % 2 else "even")])
    if number < 3:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "plot.png").write_bytes(image(120, 80))
            Path(folder, "notes.txt").write_text(f"the notes of run {number}")
            client.log_artifacts(run, folder, "report")
    client.set_terminated(run, end_time=begun + number * 1000 + 500)
client.create_registered_model("leaver", tags={"owner": "kim"}, description="Who leaves")
for number in (0, 1):
    client.create_model_version("leaver", f"runs:/{runs[number]}/report", runs[number], tags={"n": str(number + 1)},
                                description=f"number {number + 1} of two")
client.set_registered_model_alias("leaver", "champion", "2")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    client.transition_model_version_stage("leaver", "1", "Staging")
print(json.dumps({"experiment": experiment, "runs": runs}))
"""


@dataclass
class Filled:
    """A server, and what it was told."""

    server: Server
    experiment: str
    runs: list[str]


@dataclass
class Screen:
    """A page of the browser, and every answer of the server that was not one."""

    page: Any
    address: str
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        """Open a page of the UI."""
        self.page.goto(f"{self.address}/#{path}")

    def see(self, text: str | re.Pattern[str], count: int = 1) -> Any:
        """Wait until a text is shown at least once; where."""
        found = self.page.get_by_text(text)
        api.expect(found.filter(visible=True).nth(count - 1)).to_be_visible(timeout=30_000)
        return found.filter(visible=True)

    def note(self, response: Any) -> None:
        """Keep what went wrong."""
        if response.status >= 400 and not any(path in response.url for path in NOT_FOUND_BY_DESIGN):
            self.wrong.append(f"{response.status} {response.request.method} {response.url}")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A server of two workers whose repository has 30 runs and a model with two versions."""
    repo = make_repository(tmp_path_factory.mktemp("ui") / "repo")
    with serving(repo, "--workers", "2", "--idle", "2") as server:
        told = server.run_client(FILL)
        yield Filled(server, told["experiment"], told["runs"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a screen."""
    with api.sync_playwright() as playwright:
        # Where the tests run as root, Chromium's own sandbox refuses to begin.
        found = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def screen(filled: Filled, browser: Any) -> Iterator[Screen]:
    """A page; at the end of each test no request may have failed, and the log holds no error."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.add_init_script("localStorage.setItem('_mlflow_user_setting_assistant_panel_open', 'false')")
    page = context.new_page()
    page.set_default_timeout(30_000)
    shown = Screen(page, filled.server.address)
    page.route(lambda url: not url.startswith(filled.server.address), lambda route: route.abort())
    page.on("response", shown.note)
    yield shown
    page.wait_for_timeout(300)  # what a page asks late is waited for
    context.close()
    assert [] == shown.wrong
    assert [] == filled.server.troubles()


def test_the_list_of_experiments(screen: Screen) -> None:
    """Each experiment is shown with its tags."""
    screen.go("/experiments")
    for text in ("churn", "pricing", "Default", "growth"):
        screen.see(text)


def test_the_table_of_runs_is_filtered_and_sorted(filled: Filled, screen: Screen) -> None:
    """A filter that is typed leaves the runs it means; a sort puts the highest first."""
    screen.go(f"/experiments/{filled.experiment}/runs")
    screen.see("run-29")
    screen.see(re.compile("^30"))
    box = screen.page.get_by_placeholder("metrics.rmse")
    box.fill('metrics.auc > 0.7 and params.depth = "4" and tags.kind = "even"')
    box.press("Enter")
    api.expect(screen.page.get_by_text("run-29")).to_have_count(0)
    assert ["run-04"] == names_of(screen)
    box.fill("attributes.run_name LIKE 'run-0%'")
    box.press("Enter")
    screen.see("run-09")
    screen.page.get_by_test_id("sort-select-dropdown").click()
    screen.page.get_by_test_id("sort-select-asc").click()
    screen.page.get_by_test_id("sort-select-dropdown").click()
    screen.page.get_by_test_id("sort-select-auc").click()
    api.expect(screen.page.get_by_test_id("sort-select-dropdown")).to_have_text("Sort: auc")
    by_auc = [f"run-0{number}" for number in (0, 9, 5, 1, 6, 2, 7, 3, 8, 4)]
    api.expect(screen.page.get_by_role("link", name=re.compile(r"^run-\d\d$")).nth(9)).to_be_visible()
    until(lambda: names_of(screen) == by_auc)
    assert by_auc == names_of(screen)


def names_of(screen: Screen) -> list[str]:
    """The names of the runs that the table shows, from above."""
    links = screen.page.get_by_role("link", name=re.compile(r"^run-\d\d$"))
    at = links.evaluate_all("nodes => nodes.map(node => [node.getBoundingClientRect().y, node.innerText])")
    return [name for _, name in sorted(at)]


def test_a_run_with_its_chart(filled: Filled, screen: Screen) -> None:
    """The page of a run has its params, metrics and tags; its charts draw all 50 steps."""
    screen.go(f"/experiments/{filled.experiment}/runs/{filled.runs[7]}")
    for text in ("run-07", "0.08", "depth", "val/loss", "kind", "Finished"):
        screen.see(text)
    with screen.page.expect_response(lambda answer: "get-history-bulk-interval" in answer.url) as first:
        screen.go(f"/experiments/{filled.experiment}/runs/{filled.runs[7]}/model-metrics")
    assert list(range(50)) == [point["step"] for point in first.value.json()["metrics"]]
    api.expect(screen.page.locator(".js-plotly-plot .scatterlayer path.js-line").first).to_be_visible(timeout=30_000)


def test_artifacts_are_shown(filled: Filled, screen: Screen) -> None:
    """A text is read, and an image has its own width."""
    screen.go(f"/experiments/{filled.experiment}/runs/{filled.runs[1]}/artifacts")
    screen.see("report").first.click()
    screen.see("notes.txt").first.click()
    screen.see("the notes of run 1")
    screen.see("plot.png").first.click()
    image = screen.page.locator("img[src^='blob:']").first
    api.expect(image).to_be_visible(timeout=30_000)
    assert 120 == image.evaluate("node => node.naturalWidth")


def test_three_runs_are_compared(filled: Filled, screen: Screen) -> None:
    """Names, params and metrics of three runs stand beside each other."""
    chosen = [filled.runs[number] for number in (0, 1, 29)]
    experiments = quote(json.dumps([filled.experiment]))
    screen.go(f"/compare-runs?runs={quote(json.dumps(chosen))}&experiments={experiments}")
    screen.see("Comparing 3 Runs from 1 Experiment")
    for text in ("run-00", "run-01", "run-29", "0.73", "0.3"):
        screen.see(text)


def test_a_model_with_its_versions_and_alias(screen: Screen) -> None:
    """Models, versions, alias, stage, tags and descriptions are shown, and lead to the run."""
    screen.go("/models")
    screen.page.get_by_role("button", name="Try it now").click()
    for text in ("leaver", "champion", "Version 2", "kim"):
        screen.see(text)
    screen.go("/models/leaver")
    for text in ("Who leaves", "Version 1", "Version 2", "champion"):
        screen.see(text)
    screen.go("/models/leaver/versions/2")
    for text in ("number 2 of two", "champion", "run-01"):
        screen.see(text)
    screen.go("/models/leaver/versions/1")
    for text in ("number 1 of two", "Staging"):
        screen.see(text)


TABS = {
    "traces": "Traces",
    "chat-sessions": "Sessions",
    "evaluation-runs": "Evaluation runs",
    "datasets": "Datasets",
    "models": "Models",
    "prompts": "Prompts",
    "judges": "churn",
    "overview": "Traces",
    "review-queue": "Review",
}


@pytest.mark.parametrize("tab", TABS)
def test_a_tab_of_what_is_not_kept_opens(filled: Filled, screen: Screen, tab: str) -> None:
    """The tabs of traces, evaluations and the like open, and are empty."""
    screen.go(f"/experiments/{filled.experiment}/{tab}")
    screen.see(TABS[tab])
    screen.page.wait_for_load_state("load")
    api.expect(screen.page.get_by_text(re.compile("something went wrong|error occurred", re.I))).to_have_count(0)


@pytest.mark.parametrize("path", ["/prompts", "/settings/general", "/mcp-registry", "/gateway"])
def test_a_page_of_what_is_not_kept_opens(screen: Screen, path: str) -> None:
    """So do the pages beside the experiments."""
    screen.go(path)
    screen.see("Experiments")
    screen.page.wait_for_timeout(500)


def test_what_is_edited_in_the_ui_is_recorded(filled: Filled, screen: Screen) -> None:
    """A run that is renamed in the browser has its new name in git."""
    screen.go(f"/experiments/{filled.experiment}/runs/{filled.runs[11]}")
    screen.see("run-11")
    screen.page.get_by_role("button", name="Rename").or_(
        screen.page.get_by_test_id("overflow-menu-trigger")
    ).first.click()
    screen.see("Rename").first.click()
    box = screen.page.get_by_role("dialog").get_by_role("textbox")
    box.fill("the eleventh")
    screen.page.get_by_role("dialog").get_by_role("button", name="Save").click()
    screen.see("the eleventh")
    repo = filled.server.log.parent / "repo"
    until(lambda: "the eleventh" in git("grep", "-h", "^name: the", "runs", cwd=repo, check=False))
    assert "name: the eleventh" == git("grep", "-h", "^name: the", "runs", cwd=repo)
