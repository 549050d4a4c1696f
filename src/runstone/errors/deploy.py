"""Deploying models: contexts that cannot be made, wheels that cannot be had, engines that fail, odd manifests."""

from collections.abc import Sequence

from runstone.errors.base import RunstoneError, UsageError, indented, quoted, some


class ContextRefused(RunstoneError):
    """A model that no serving context can be made of."""

    def __init__(self, uri: str, why: str, next_step: str) -> None:
        self.uri, self.why = uri, why
        super().__init__(f"No serving context of {uri} was made: {why}. {next_step}")


class WheelhouseFailed(RunstoneError):
    """The wheels that a model needs could not be had."""

    def __init__(self, python: str, wheels: str, said: str) -> None:
        self.python, self.wheels, self.said = python, wheels, said
        super().__init__(
            f"The wheels for Python {python} on {wheels} could not be downloaded, so nothing was written:\n"
            f"{indented(said)}\nIf one is published for a newer Linux only, name that: "
            "`--platform manylinux_2_34_x86_64`; or let the build install them: leave `--wheelhouse` out."
        )


class EngineMissing(RunstoneError):
    """Nothing that builds images is installed."""

    def __init__(self, engine: str | None, uri: str) -> None:
        self.engine = engine
        what = f"`{engine}` is not installed" if engine else "neither docker nor podman nor buildah is installed"
        super().__init__(
            f"No image was built: {what}. Install one; or write the folder to build from, for a machine that has one: "
            f"`runstone models generate-dockerfile {quoted(uri)} -o context`"
        )


class BuildFailed(RunstoneError):
    """The engine ended with an error, which it has told itself."""

    def __init__(self, engine: str, code: int, uri: str) -> None:
        self.engine, self.code = engine, code
        super().__init__(
            f"No image was built: {engine} ended with {code}; what it said stands above. To look into what it built "
            f"from: `runstone models generate-dockerfile {quoted(uri)} -o context`"
        )


class InvalidQuantity(UsageError):
    """An amount of processors or memory that no cluster understands."""

    def __init__(self, of_what: str, text: str, *examples: str) -> None:
        self.of_what, self.text = of_what, text
        shown = " or ".join(f"`{example}`" for example in examples)
        super().__init__(f"{text[:80]!r} is no amount of {of_what}. Write {shown}.")


class ImageRefused(UsageError):
    """An image that would not surely be the one that was meant."""

    def __init__(self, image: str, why: str) -> None:
        self.image, self.why = image, why
        super().__init__(
            f"The image {image[:200]!r} cannot be rendered: {why}. Name one of a model and a version, as "
            "`--image 'registry.example.org/team/{model}:{version}'`, or by its digest, as `…@sha256:…`"
        )


class NothingInStage(RunstoneError):
    """No model at all has a version in a stage, so there is nothing to deploy."""

    def __init__(self, stage: str, known: Sequence[str]) -> None:
        self.stage, self.known = stage, tuple(known)
        have = f"There are versions in {some(known)}." if known else "No version of any model is in a stage."
        super().__init__(f"No model has a version in the stage {stage!r}. {have} See: `runstone models list`")


class RegistryUnread(RunstoneError):
    """A file of the registry cannot be read, so what is deployed cannot be told from it."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"Nothing was rendered, as a file of the registry cannot be read: {why}")
