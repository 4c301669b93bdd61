"""What publishing leaves behind, in words and numbers."""

from typing import NamedTuple


class Publication(NamedTuple):
    """A version that is on the Hub, whole and compared.

    Attributes:
        repo: its repository.
        url: where people look at it.
        tag: what users load.
        commit: what the tag points to.
        version: of the content, as in the manifest.
        files: number of them.
        bytes: of all files.
        why: what changed since the version before, in words.
        unchanged: it was published before, and nothing was sent.
        newest: the newest tag there.
    """

    repo: str
    url: str
    tag: str
    commit: str
    version: str
    files: int
    bytes: int
    why: list[str]
    unchanged: bool
    newest: str
