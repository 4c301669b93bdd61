"""What lies in TensorBoard's event files, read by its own reader."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Figure → step → value."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: {one.step: one.value for one in events.Scalars(name)} for name in events.Tags()["scalars"]}


def text(folder: Path, name: str) -> str:
    """The one text of a name."""
    events = EventAccumulator(str(folder))
    events.Reload()
    (found,) = events.Tensors(f"{name}/text_summary")
    return str(found.tensor_proto.string_val[0].decode())
