"""Clones do everything to the same runs, in a random order, and sync when they like: at the end all hold the same.

What must be true whatever the order is checked: a run is there once, or was removed by somebody; every value that was
ever set stands in a record or in the history of the branch; the files of every run can be had from a fresh clone.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import RunstoneError
from runstone.records.run import Run
from runstone.registry.removal import gc
from runstone.registry.removal.removable import Wanted
from runstone.registry.version import register_version
from runstone.tracking.run import resume_run
from runstone.tracking.sync import sync
from runstone.uris import RunUri
from tests.git.support import check_clean
from tests.sharing import Team, make_team, recorded_ids
from tests.support import git

pytestmark = pytest.mark.dvc

FULL = bool(os.environ.get("RUNSTONE_TEST_FULL"))
"""Whether the slow tests run at full length."""

SEEDS = [int(text) for text in os.environ.get("RUNSTONE_TEST_SEEDS", "").split()] or range(30 if FULL else 2)
STEPS = 120 if FULL else 60
EXPERIMENTS = ("Default", "trees", "Nets & Co")


@dataclass(slots=True)
class World:
    """The clones, and what must be true of them in the end.

    Attributes:
        team: The clones' remotes.
        dice: What is random.
        clones: The clones' folders.
        told: Each value that was set, and by what; none may get lost.
        made: The param `made` of each run, which names it though it may get another id.
        removed: The runs that some clone has removed for good.
        points: Run → values of the metric `m`, which is never corrected.
        files: Run → path → the texts that were written there.
        log: What was done, for the message of a failure.
        count: How many values there were.
    """

    team: Team
    dice: random.Random
    clones: list[Path]
    told: dict[str, str] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    points: dict[str, list[float]] = field(default_factory=dict)
    files: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    count: int = 0

    def token(self, what: str) -> str:
        """A value that is nowhere else."""
        self.count += 1
        value = f"{what}-{self.count:05d}-"
        self.told[value] = what
        return value

    def pick(self, client: Client) -> Run | None:
        """Any run that a clone knows."""
        runs = sorted(
            client.search_runs(_experiments(client), run_view_type="ALL"), key=lambda run: str(run.params["made"])
        )
        return self.dice.choice(runs) if runs else None

    def point(self, made: str) -> float:
        """A value of the metric `m` that is nowhere else."""
        self.count += 1
        value = 1000000.5 + self.count
        self.told[repr(value)] = "metric"
        self.points.setdefault(made, []).append(value)
        return value

    def put_file(self, client: Client, run_id: str, made: str) -> None:
        """Keep a text under one of three paths."""
        path, text = self.dice.choice(["a.txt", "b/c.txt", "d.txt"]), f"{made} {self.dice.random()}"
        client.log_text(run_id, text, path)
        self.files.setdefault(made, {}).setdefault(path, set()).add(text)


def _experiments(client: Client) -> list[str]:
    return [each.experiment_id for each in client.search_experiments(view_type="ALL")]


def make_run(world: World, client: Client) -> None:
    """A run of its own, now and then with a key that another clone may use for another run."""
    dice = world.dice
    key = f"key-{dice.randrange(4)}" if dice.random() < 0.2 else None
    name = dice.choice(EXPERIMENTS)
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        return
    experiment = client.create_experiment(name) if found is None else found.experiment_id
    run = client.create_run(experiment, run_id=key)
    made = world.token("made")
    client.log_param(run.id, "made", made)
    client.log_metric(run.id, "m", world.point(made))
    client.set_tag(run.id, "t", world.token("tag"))
    if dice.random() < 0.6:
        world.put_file(client, run.id, made)
    if dice.random() < 0.3:
        folder = client.workspace.repo.common_dir / f"model-{made}"
        folder.mkdir()
        (folder / "MLmodel").write_text("flavors: {}\n")
        (folder / "weights").write_text(made)
        run.log_model(folder, "model", ["sklearn"], None)
    world.made.add(made)
    client.set_terminated(run.id)


def change_run(world: World, client: Client) -> None:
    """A correction, a tag, a note, a further point, a further file, or a run that goes on."""
    run = world.pick(client)
    if run is None:
        return
    made, dice = str(run.params["made"]), world.dice
    kind = dice.choice(["amend", "tag", "note", "point", "file", "resume", "name"])
    if kind == "amend":
        client.amend_run(run.id, reason=world.token("reason"), params={dice.choice("pq"): world.token("param")})
    elif kind == "tag":
        client.set_tag(run.id, dice.choice("tuv"), world.token("tag"))
    elif kind == "note":
        client.amend_run(run.id, reason="A note", note=world.token("note"))
    elif kind == "name":
        client.amend_run(run.id, reason="A name", name=world.token("name"))
    elif kind == "point":
        client.log_metric(run.id, "m", world.point(made), step=dice.randrange(5))
    elif kind == "file":
        world.put_file(client, run.id, made)
    else:
        with resume_run(client.workspace, run.id):
            client.log_metric(run.id, "m", world.point(made), step=9)
            client.log_param(run.id, world.token("key"), 1)


def move_run(world: World, client: Client) -> None:
    """Into another experiment."""
    run = world.pick(client)
    if run is not None:
        client.move_run(run.id, world.dice.choice(_experiments(client)))


def delete_or_restore(world: World, client: Client) -> None:
    """A run, or an experiment."""
    run = world.pick(client)
    if run is None:
        return
    if run.lifecycle == "deleted":
        client.restore_run(run.id)
    else:
        client.delete_run(run.id, reason=world.token("why"))


def collect(world: World, client: Client) -> None:
    """Remove what is deleted, at once."""
    wanted = Wanted(older_than_s=0)
    planned = gc.plan(client.workspace, wanted)
    made = {run.run_id: str(client.get_run(run.run_id).params["made"]) for run in planned.runs}
    done = gc.collect(client.workspace, planned, wanted)
    world.removed |= {made[run.run_id] for run in done.runs}


def register(world: World, client: Client) -> None:
    """A version of a model, of this clone's own or of one that the others make versions of, too."""
    run = world.pick(client)
    if run is not None and run.models:
        own = client.workspace.repo.common_dir.parent.name
        model = own if world.dice.random() < 0.8 else "shared"
        register_version(client.workspace, model, RunUri(run.id, "model"))


def change_experiment(world: World, client: Client) -> None:
    """A tag."""
    found = _experiments(client)
    if found:
        client.set_experiment_tag(world.dice.choice(found), world.dice.choice("xy"), world.token("of-experiment"))


def share(world: World, client: Client) -> None:
    """All, or only bring what there is."""
    sync(client.workspace, send=world.dice.random() < 0.9)


def pack(world: World, client: Client) -> None:
    """What git does to its own store now and then."""
    del world
    git("gc", "-q", "--prune=now", cwd=client.workspace.repo.common_dir.parent)


ACTIONS: list[tuple[int, Callable[[World, Client], None]]] = [
    (6, make_run),
    (10, change_run),
    (2, move_run),
    (3, delete_or_restore),
    (1, collect),
    (2, register),
    (1, change_experiment),
    (7, share),
    (1, pack),
]


def step(world: World) -> None:
    """One clone does one thing; what it may not do, as to change a deleted run, it is told."""
    clone = world.dice.choice(world.clones)
    act = world.dice.choices([each for _, each in ACTIONS], [weight for weight, _ in ACTIONS])[0]
    world.log.append(f"{clone.name} {act.__name__}")
    before = dict(world.told), {key: list(value) for key, value in world.points.items()}
    try:
        act(world, Client(clone))
    except RunstoneError as error:
        world.log[-1] += f": {type(error).__name__}: {error}"
        if act is share:
            raise
        world.told, world.points = before


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_of_changes_and_syncs(tmp_path: Path, seed: int) -> None:
    """Three clones: each change arrives in every clone, once, or was replaced by another one and stays in history."""
    team = make_team(tmp_path)
    world = World(team, random.Random(seed), [tmp_path / "ann", team.clone("bob"), team.clone("cid")])
    try:
        for _ in range(STEPS):
            step(world)
        for clone in (*world.clones, *world.clones, *world.clones):
            sync(Client(clone).workspace)
        check(world)
    except BaseException:
        print("\n".join([f"seed {seed}", *world.log]))
        raise


def check(world: World) -> None:
    """What must be true in the end."""
    team = world.team
    team.check()
    fresh = team.clone("fresh")
    client = Client(fresh)
    runs = client.search_runs(_experiments(client), run_view_type="ALL", max_results=5000)
    made = [str(run.params["made"]) for run in runs]
    assert sorted(set(made)) == sorted(made), "a run is there twice"
    assert set() == world.made - world.removed - set(made), "a run is lost"
    recorded = [run_id for run_id in recorded_ids(fresh, "origin/runs") if not run_id.startswith("key-")]
    assert sorted(set(recorded)) == recorded, "a run was recorded twice"  # a key may be, once its run was removed
    history = git("log", "--first-parent", "--diff-merges=first-parent", "-p", "--text", "origin/runs", cwd=fresh)
    assert [] == [value for value in world.told if value not in history], "a value is lost"
    for run in runs:
        key = str(run.params["made"])
        points = [point.value for point in client.get_metric_history(run.id, "m")]
        assert len(set(points)) == len(points), f"points of {run.id} are doubled"
        assert set(points) <= set(world.points[key])
        # Who edits a run that another clone removes for good brings it back as far as he knew it.
        assert key in world.removed or len(world.points[key]) == len(points), f"points of {run.id}"
        check_files(world, client, run.id, key)
    for clone in (*world.clones, fresh):
        assert team.tip() == git("rev-parse", "origin/runs", cwd=clone)
        check_clean(clone)
    for clone in world.clones:
        assert team.tip() == git("rev-parse", "runs", cwd=clone)
        assert "" == git("status", "--porcelain", cwd=clone)
    check_tags(world)


def check_files(world: World, client: Client, run_id: str, made: str) -> None:
    """The files of a run can be had, and each is one that was put there."""
    wanted = world.files.get(made, {})
    folder = Path(client.download_artifacts(run_id))
    found = {path: (folder / path).read_text() for path in wanted if (folder / path).is_file()}
    assert made in world.removed or wanted.keys() == found.keys(), f"files of {run_id}"
    assert [] == [path for path, text in found.items() if text not in wanted[path]]


def check_tags(world: World) -> None:
    """Versions are on the line, at a commit whose record has the model."""
    remote = world.team.remote
    line = set(git("rev-list", "--first-parent", "runs", cwd=remote).split())
    for tag in world.team.tags():
        assert git("rev-parse", f"{tag}^{{commit}}", cwd=remote) in line
        body = dict(
            row.split(": ", 1)
            for row in git("tag", "-l", "--format=%(contents:body)", tag, cwd=remote).split("\n")
            if ": " in row
        )
        assert body["digest"] in git("show", f"{tag}:{body['record']}/run.yaml", cwd=remote)
