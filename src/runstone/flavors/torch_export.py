"""Graphs of PyTorch modules, as `torch.export` traces them for an input example, and that example as tensors."""

from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder
from runstone.flavors.saving import library


def export(model: Any, tensors: tuple[Any, ...], target: Path, path: str) -> None:
    """Write the graph that `torch.export` traces for some tensors, whose first dimension may be any.

    Args:
        model: The module.
        tensors: Its arguments.
        target: The model folder.
        path: The file in it.

    Writes:
        The file.

    Raises:
        InvalidModelFolder: The module cannot be traced.
    """
    torch = library("torch", "export a PyTorch module")
    # A first dimension of 1 would be taken for one that is always 1.
    several = tuple(torch.cat([each, each]) if each.ndim and each.shape[0] == 1 else each for each in tensors)
    shapes = [{0: torch.export.Dim.AUTO} if each.ndim else None for each in several]
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        torch.export.save(torch.export.export(model, several, dynamic_shapes=shapes), target / path)
    except Exception as error:  # tracing runs the user's module, which raises what it likes
        raise InvalidModelFolder(
            target,
            f"torch.export cannot trace the {type(model).__name__}: {error}",
            next_step="Nothing was written. Save it with `serialization_format='pickle'`.",
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode


def on_device(program: Any, device: Any) -> Any:
    """An exported program where it is to run: its graph names devices too, so it is rewritten and not just moved."""
    torch = library("torch", "move this model")
    if device is None or all(each.device.type == torch.device(device).type for each in program.state_dict.values()):
        return program
    return library("torch.export.passes", "move this model").move_to_device_pass(program, device)


def example_tensors(example: Any) -> tuple[Any, ...]:
    """The module's arguments for the input example; none if it has no example."""
    torch = library("torch", "take an input example")
    if example is None or isinstance(example, dict | str):
        return ()
    if hasattr(example, "columns"):
        return (torch.tensor(example.to_numpy(dtype="float32")),)
    parts = example if isinstance(example, list | tuple) else (example,)
    if not all(hasattr(part, "shape") for part in parts):
        return ()
    return tuple(part if isinstance(part, torch.Tensor) else torch.tensor(part) for part in parts)


def plain_example(example: Any) -> Any:
    """The example without tensors, which no input example holds."""
    torch = library("torch", "take an input example")
    if isinstance(example, torch.Tensor):
        return example.detach().cpu().numpy()
    if isinstance(example, list | tuple) and any(isinstance(part, torch.Tensor) for part in example):
        return [plain_example(part) for part in example]
    return example
