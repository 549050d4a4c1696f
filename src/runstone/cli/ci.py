"""`runstone ci`: what pipelines run. One module a command."""

from runstone.cli.ci_check import check
from runstone.cli.ci_events import events
from runstone.cli.ci_register import register
from runstone.cli.ci_report import report
from runstone.cli.command import group


@group(
    "ci",
    examples="""
    runstone ci check                   may this be merged? 0 yes, 1 no, 2 cannot tell
    runstone ci report --comment        the report, as a comment on the request
    runstone ci register                after a merge: make versions of what was asked for
    runstone ci events "$OLD..$NEW" --json   what a push did to the registry, for programs
    """,
)
def ci() -> None:
    """What pipelines run on proposals and after merges.

    In GitHub Actions, GitLab CI and Jenkins the commits are known from the job; elsewhere it is HEAD against the
    default branch.
    """


for _command in (check, report, register, events):
    ci.add_command(_command)
