"""What no approval makes right, each made with plain git on a branch of its own, for those who must all name it."""

from collections.abc import Callable
from pathlib import Path

from tests.promotion.support import ANN, stage_file
from tests.support import git

Make = Callable[[Path], None]
FOLDER = "registry/churn/stages"
PRODUCTION = f"{FOLDER}/Production.yaml"


def add(path: str, mode: str, text: str = "") -> Make:
    """Put something into the index as no work tree of every system could: a file, a link, a submodule."""

    def make(repo: Path) -> None:
        oid = git("rev-parse", "HEAD", cwd=repo)
        if mode != "160000":
            file = repo / ".git" / "content"
            file.write_text(text)
            oid = git("hash-object", "-w", "--no-filters", str(file), cwd=repo)
        top = path.split("/")[0]
        if "/" not in path or path == PRODUCTION:
            git("rm", "-r", "-q", "--cached", "--ignore-unmatch", top if "/" not in path else path, cwd=repo)
        git("update-index", "--add", "--replace", "--cacheinfo", f"{mode},{oid},{path}", cwd=repo)

    return make


ODD = "is a link, a submodule or something else that is not read. Put a plain"
TWICE = "A version is in one stage or in none: take it out of the others"
FAULTS: list[tuple[Make, str, str]] = [
    (add(PRODUCTION, "120000", "../x"), "files", f"`{PRODUCTION}` {ODD} file there."),
    (add(f"{FOLDER}/Staging.yaml", "160000"), "files", f"`{FOLDER}/Staging.yaml` {ODD} file there."),
    (add(f"{FOLDER}/Staging.yaml/x", "100644"), "files", f"`{FOLDER}/Staging.yaml` {ODD} file there."),
    (add("registry", "120000", "elsewhere"), "files", f"`registry` {ODD} folder there."),
    (add("registry", "160000"), "files", f"`registry` {ODD} folder there."),
    (add("runstone.yaml", "120000", "settings"), "files", f"`runstone.yaml` {ODD} file there."),
    (add("registry/churn", "160000"), "files", f"`registry/churn` {ODD} folder there."),
    (add("registry/policy.yaml", "120000", "/etc/hosts"), "files", f"`registry/policy.yaml` {ODD} file there."),
    (
        add("registry/Churn/README.md", "100644", "# Churn\n"),
        "files",
        "`registry/Churn` and `registry/churn` are one file on many disks. Keep one of them.",
    ),
    (
        add(f"{FOLDER}/Staging.yaml", "100644", stage_file(1)),
        "churn/1",
        f"churn v1 stands in Production and in Staging. {TWICE}",
    ),
    (
        add(f"{FOLDER}/production.yaml", "100644", stage_file(2)),
        "churn",
        "'production' is no stage of the policy, which has Staging, Production, Archived. A new stage goes into the "
        "policy first",
    ),
]


def propose_fault(repo: Path, make: Make, branch: str) -> None:
    """A branch with one commit that has the fault; `main` stays as it is, and is checked out."""
    git("checkout", "-q", "-b", branch, cwd=repo)
    make(repo)
    git("commit", "-q", "-m", "A proposal", cwd=repo, env=ANN)
    git("checkout", "-q", "-f", "main", cwd=repo)
    git("clean", "-q", "-f", "-d", cwd=repo)
