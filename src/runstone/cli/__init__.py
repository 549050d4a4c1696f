"""The command line. It knows nothing of its own: each command is one call of the layers below.

A command's module is imported when the command is used, and not before: `runstone --help` lists them all from the table
here, which a test compares with the modules.
"""

import click

from runstone._version import __version__
from runstone.cli.command import Root

SECTIONS: dict[str, dict[str, tuple[str, str, str]]] = {
    "Every day": {
        "init": ("runstone.cli.init", "init", "Set up this repository for tracking."),
        "demo": ("runstone.cli.demo", "demo", "Make a scratch repository with real runs to look at."),
        "run": ("runstone.cli.run", "run", "Run any command and record it as a run."),
        "rerun": ("runstone.cli.rerun", "rerun", "Run a past run again and say what it reproduced."),
        "log": ("runstone.cli.log", "log", "Record a run, or add to one, from a shell."),
        "sync": ("runstone.cli.sync", "sync", "Share runs: send what is new, bring what others sent."),
        "push": ("runstone.cli.sync", "push", "Send runs, artifacts and model versions."),
        "pull": ("runstone.cli.sync", "pull", "Bring the runs and model versions of others."),
        "diff": ("runstone.cli.diff", "diff", "Compare two runs: params, metrics, data, code."),
        "bisect-metric": ("runstone.cli.bisect", "bisect_metric", "Find the run and code that made a metric bad."),
        "checkout": ("runstone.cli.checkout", "checkout", "Check a past run out, exactly as it ran."),
        "register": ("runstone.cli.register", "register", "Make what a run logged a version of a model."),
        "promote": ("runstone.cli.promote", "promote", "Put a version into a stage, or under an alias."),
        "demote": ("runstone.cli.promote", "demote", "Take a version out of its stage."),
        "rollback": ("runstone.cli.rollback", "rollback", "Put back into a stage who was there before."),
        "evaluate": ("runstone.cli.evaluate", "evaluate", "Measure a model on data with known answers."),
        "serve": ("runstone.cli.serve", "serve", "Serve a model over HTTP."),
        "server": ("runstone.cli.server", "server", "Run MLflow's server and UI on this repository."),
        "predict": ("runstone.cli.predict", "predict", "Score a file or a folder with a model."),
        "render": ("runstone.cli.render", "render", "Write what runs a stage's models on a cluster."),
        "plot": ("runstone.cli.plot", "plot", "Draw metrics of runs in the terminal."),
    },
    "Nouns": {
        "runs": ("runstone.cli.runs", "runs", "List, show, search, delete and tag runs."),
        "experiments": ("runstone.cli.experiments", "experiments", "List, make, rename and delete experiments."),
        "models": ("runstone.cli.models", "models", "Register models, move aliases, get model files."),
        "proposals": ("runstone.cli.proposals", "proposals", "Review, merge and close proposed changes."),
        "artifacts": ("runstone.cli.artifacts", "artifacts", "List, get, push and pull the files of runs."),
    },
    "Upkeep": {
        "import": ("runstone.cli.import_", "import_", "Bring in the runs and models of other trackers."),
        "export": ("runstone.cli.export", "export", "Write runs as tables, or into MLflow's stores."),
        "ci": ("runstone.cli.ci", "ci", "What pipelines run: checks, reports, registrations."),
        "validate": ("runstone.cli.validate", "validate", "Check files and records against their formats."),
        "verify": ("runstone.cli.verify", "verify", "Prove from git that what changed was approved."),
        "guard": ("runstone.cli.guard", "guard", "Refuse unreviewed changes in a pre-receive hook."),
        "audit": ("runstone.cli.audit", "audit", "List every change of the registry, and who made it."),
        "hooks": ("runstone.cli.hooks", "hooks", "What pre-commit runs: secrets, large files, stages."),
        "recover": ("runstone.cli.recover", "recover", "Record the runs of processes that died."),
        "doctor": ("runstone.cli.doctor", "doctor", "Examine the repository and say what to do."),
        "gc": ("runstone.cli.gc", "gc", "Remove deleted runs and bytes nobody needs."),
        "index": ("runstone.cli.index", "index", "Rebuild the index that searches read."),
        "completion": ("runstone.cli.completion", "completion", "Print the completion script of a shell."),
    },
}
"""Section of the help → command → its module, its name there, and one line of help."""


@click.group(
    "runstone",
    cls=Root,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--repo",
    metavar="DIR",
    envvar="RUNSTONE_REPO",
    type=click.Path(file_okay=False),
    help="A folder in the repository; else RUNSTONE_REPO, else the current folder.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="When to use colour; auto: on terminals, unless NO_COLOR is set.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, repo: str | None, color: str) -> None:
    """Runs, carved in git: track experiments and keep models, with no server and no database.

    Exit codes: 0 done, 1 an error or a failed check, 2 a wrong call, 3 a bug, 130 interrupted.
    """
    from runstone.cli.session import Session, wants_color
    from runstone.cli.unsynced import COMMANDS, say_unsynced

    ctx.obj = session = Session(repo)
    ctx.color = wants_color(color)
    if ctx.invoked_subcommand in COMMANDS:
        ctx.call_on_close(lambda: say_unsynced(session))
