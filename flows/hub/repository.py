"""One dataset repository on the Hub: few operations, each safe to repeat, with one way to fail.

No error and no log has the token.
"""

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import huggingface_hub
from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    DatasetInfo,
    HfApi,
    get_session,
    hf_hub_url,
    hf_raise_for_status,
)
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import default_client_factory

from flows.hub.patience import PATIENT, Patience, Tries
from transforms.errors import CurationError, OutputError

_BLOCK: Final = 1 << 20
_REPO: Final[Any] = {"repo_type": "dataset"}


class HubCommit(NamedTuple):
    """A commit of the branch."""

    sha: str
    message: str  # title and description


class RepoState(NamedTuple):
    """A repository as it was when asked.

    Attributes:
        commits: of `main`, newest first.
        tags: commit by tag.
        files: paths at the newest commit.
        private: whether only some see it.
    """

    commits: list[HubCommit]
    tags: dict[str, str]
    files: list[str]
    private: bool

    @property
    def tip(self) -> str:
        """The newest commit."""
        return self.commits[0].sha

    def tags_of(self, commit: str) -> list[str]:
        """Tags that point to a commit."""
        return [tag for tag, sha in self.tags.items() if sha == commit]


class Hub:
    """A dataset repository `org/name`.

    Args:
        repo: its id.
        token: None for what everybody may do.
        patience: with requests that fail.
        error: raised where the Hub cannot be reached, refuses, or holds something else.
    """

    def __init__(
        self,
        repo: str,
        *,
        token: str | None,
        patience: Patience = PATIENT,
        error: type[CurationError] = OutputError,
    ) -> None:
        self.repo = repo
        self._token = token
        # False: without a token of ours nobody else's is sent.
        self._api = HfApi(token=token or False, library_name="preference-curation")
        self._timeout = patience.timeout
        self._error = error
        self._tries = Tries(repo, patience, error, token)
        huggingface_hub.set_client_factory(self._client)

    @property
    def url(self) -> str:
        """Where people look at it."""
        return f"{self._api.endpoint}/datasets/{self.repo}"

    def state(self) -> RepoState | None:
        """What is there now; None where there is no such repository (or none that the token may see)."""

        def look() -> DatasetInfo | None:
            try:
                return self._api.dataset_info(self.repo, revision="main")
            except RepositoryNotFoundError:
                return None

        if (info := self._tries.run("look at the repository", look)) is None:
            return None
        refs = self._tries.run("list tags", lambda: self._api.list_repo_refs(self.repo, **_REPO))
        commits = self._commits()
        files = [sibling.rfilename for sibling in info.siblings or []]
        tags = {tag.name: tag.target_commit for tag in refs.tags}
        return RepoState(commits, tags, files, bool(info.private))

    def resolve(self, revision: str | None) -> str:
        """The commit of a branch, tag or commit; of `main` by default."""
        wanted = revision or "main"
        return str(self._tries.run(f"find {wanted}", lambda: self._api.dataset_info(self.repo, revision=wanted)).sha)

    def download(self, commit: str, path: str) -> Path:
        """A file, from the Hub's cache on this machine where it is there; a full commit then needs no request."""

        def attempt() -> Path:
            try:
                return Path(self._api.hf_hub_download(self.repo, path, revision=commit, **_REPO))
            except EntryNotFoundError as error:
                if isinstance(error, LocalEntryNotFoundError):  # not reached, and not in the cache
                    raise
                message = f"{self.repo} at {commit[:12]} has no {path}, so it is no version that this project published"
                raise self._error(message) from None

        return self._tries.run(f"download {path}", attempt)

    def create(self, *, private: bool) -> None:
        """Make the repository; one that is there already stays as it is."""
        self._tries.run(
            "create the repository",
            lambda: self._api.create_repo(self.repo, private=private, exist_ok=True, **_REPO),
        )

    def upload(self, files: Sequence[CommitOperationAdd]) -> None:
        """Send the large ones ahead of the commit. What an earlier try sent is not sent again."""
        self._tries.run("upload", lambda: self._api.preupload_lfs_files(self.repo, files, revision="main", **_REPO))

    def commit(
        self,
        base: str,
        files: Sequence[CommitOperationAdd],
        gone: Sequence[str],
        *,
        title: str,
        description: str,
        mark: str,
    ) -> str:
        """One commit on top of `base`, or none; its sha. A push after `base` is an error, and nothing is overwritten.

        Args:
            base: the newest commit that was seen.
            files: that it brings.
            gone: paths that it removes.
            title: its first line.
            description: the others.
            mark: a line of them, by which a commit is found whose answer was lost.
        """
        asked = False

        def attempt() -> str:
            nonlocal asked
            if asked and (landed := self._landed(base, mark)):
                return landed
            asked = True
            try:
                made: CommitInfo = self._api.create_commit(
                    self.repo,
                    [*files, *(CommitOperationDelete(path, is_folder=False) for path in gone)],
                    commit_message=title,
                    commit_description=description,
                    parent_commit=base,
                    **_REPO,
                )
            except HfHubHTTPError as error:
                if error.response.status_code not in (409, 412):
                    raise
                if landed := self._landed(base, mark):
                    return landed
                raise  # the tip is still the base: two commits at once, of which the Hub took neither
            return made.oid

        return self._tries.run("commit", attempt, also=(409, 412))

    def sha256_of(self, commit: str, path: str) -> str:
        """Hash of a file as the Hub gives it out. Nothing is written, and no cache is asked."""
        headers = build_hf_headers(token=self._token or False)
        url = hf_hub_url(self.repo, path, revision=commit, **_REPO)

        def attempt() -> str:
            digest = sha256()
            with get_session().stream("GET", url, headers=headers) as response:
                hf_raise_for_status(response)
                for block in response.iter_bytes(_BLOCK):
                    digest.update(block)
            return str(digest.hexdigest())

        return self._tries.run(f"download {path}", attempt)

    def tag(self, name: str, commit: str) -> None:
        """Tag a commit. A tag is never moved: one that is another commit's is an error."""

        def attempt() -> None:
            try:
                self._api.create_tag(self.repo, tag=name, revision=commit, **_REPO)
            except HfHubHTTPError as error:
                if error.response.status_code != 409:
                    raise
                tags = {tag.name: tag.target_commit for tag in self._api.list_repo_refs(self.repo, **_REPO).tags}
                if tags.get(name) != commit:
                    message = (
                        f"{self.repo}: {name} is commit {tags.get(name, 'unknown')[:12]} since a moment ago, and tags "
                        "are never moved. Publish again: it takes the next version"
                    )
                    raise self._error(message) from error

        self._tries.run(f"tag {name}", attempt)

    def _commits(self) -> list[HubCommit]:
        found = self._tries.run(
            "list commits", lambda: self._api.list_repo_commits(self.repo, revision="main", **_REPO)
        )
        return [HubCommit(one.commit_id, f"{one.title}\n{one.message}") for one in found]

    def _landed(self, base: str, mark: str) -> str | None:
        """The commit on top of `base` that has this mark, None where `base` is still the newest."""
        commits = self._commits()
        if commits[0].sha == base:
            return None
        above = next((new for new, old in pairwise(commits) if old.sha == base), commits[0])
        if mark in above.message:
            return above.sha
        message = (
            f"{self.repo}: somebody pushed {above.sha[:12]} while this was on its way onto {base[:12]}. Nothing was "
            "overwritten and nothing published. Look at it, and publish again to go on from there"
        )
        raise self._error(message)

    def _client(self) -> httpx2.Client:
        def limit(request: httpx2.Request) -> None:
            # Not as the client's own: many calls of the Hub's client ask for none, and that goes first.
            request.extensions["timeout"] = httpx2.Timeout(self._timeout).as_dict()

        client = default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = hooks | {"request": [*hooks["request"], limit]}
        return client
