"""What a command line asks for: PAPER, PAPER FIGURE … or PAPER/FIGURE …, and a folder that can be one."""

from collections.abc import Sequence
from pathlib import Path

from flows.reproduce.catalogue import Catalogue
from flows.reproduce.plan import Chosen, choose
from transforms.errors import ConfigError, OutputError
from transforms.records.reproduction import Size

Asked = dict[str, list[str]]  # paper → its tables and figures, none for all; empty for all papers


def asked(catalogue: Catalogue, words: Sequence[str]) -> Asked:
    """The names of a command line, in whatever case they are typed.

    Args:
        catalogue: of all there are.
        words: a paper and some of its entries, or PAPER/ENTRY any number of times.

    Raises:
        ConfigError: there is none of that name.
    """
    found: Asked = {}
    paper: str | None = None
    for word in words:
        name, slash, entry = word.lower().strip("/").partition("/")
        if slash:
            found.setdefault(catalogue.paper(name).paper, []).append(catalogue.entry(name, entry).id)
            paper = paper or name
        elif paper is None:
            paper = _paper(catalogue, name)
            found[paper] = []
        elif name in catalogue.papers:
            message = (
                f"{name} is a paper, and one command takes one; run it by itself, or name its entries in full, such as "
                f"{name}/{next((one.id for one in catalogue.papers[name].entries if not one.nothing), 'table-1')}"
            )
            raise ConfigError(message)
        else:
            found[paper].append(catalogue.entry(paper, name).id)
    return {name: list(dict.fromkeys(entries)) for name, entries in found.items()}


def choose_asked(catalogue: Catalogue, size: Size, names: Asked) -> tuple[Chosen, ...]:
    """The tables and figures that are to be redone.

    Args:
        catalogue: of all there are.
        size: at which they are redone.
        names: of `asked`; empty for all.

    Raises:
        ConfigError: none can be done at that size, or one of those that are named cannot; only those that cannot are
            in the message.
    """
    found: list[Chosen] = []
    problems: list[tuple[str, str]] = []
    for paper, entries in names.items():
        if not entries:
            found += choose(catalogue, size, paper)
        for entry in entries:
            try:
                found += choose(catalogue, size, paper, [entry])
            except ConfigError as error:
                problems.append((f"{paper}/{entry}", str(error)))
    if problems:
        message = "; ".join(said for _, said in problems)
        if found:
            message += f". Leave out {' and '.join(key for key, _ in problems)} to do the rest"
        raise ConfigError(message)
    return tuple(found) if names else choose(catalogue, size)


def check_out(out: Path) -> None:
    """A folder, or a path where one can be made.

    Raises:
        OutputError: it is a file, or lies below one.
    """
    for path in (out, *out.parents):
        if path.exists() and not path.is_dir():
            below = "" if path == out else f", and {out} lies below it"
            message = f"{path} is a file{below}; name a folder with --out"
            raise OutputError(message)


def _paper(catalogue: Catalogue, name: str) -> str:
    having = [one for one, paper in catalogue.papers.items() if any(entry.id == name for entry in paper.entries)]
    if name in catalogue.papers or not having:
        return catalogue.paper(name).paper
    message = f"{name} is no paper; name one that has it: {', '.join(f'{one} {name}' for one in having)}"
    raise ConfigError(message)
