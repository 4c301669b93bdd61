"""What each source of a recipe is called: its name in every table, and so what tells two of one kind apart."""

from collections.abc import Sequence

from transforms.errors import ConfigError
from transforms.sources.options import SourceOptions


def labels(sources: Sequence[SourceOptions]) -> list[str]:
    """The label of each source, in order.

    Without one of its own a source is called by its kind; of several the second is `KIND-2` and so on. Every source
    goes by its place in the recipe, so a source that is added behind the others renames none of them.

    Raises:
        ConfigError: two are called the same.
    """
    found: list[str] = []
    unnamed: dict[str, int] = {}
    for source in sources:
        if source.label is not None:
            found.append(source.label)
            continue
        number = unnamed[source.kind_name] = unnamed.get(source.kind_name, 0) + 1
        found.append(source.kind_name if number == 1 else f"{source.kind_name}-{number}")
    for label in found:
        if found.count(label) > 1:
            places = [str(at) for at, other in enumerate(found, 1) if other == label]
            message = f"sources {' and '.join(places)} are both called {label!r}; give each a label of its own"
            raise ConfigError(message)
    return found
