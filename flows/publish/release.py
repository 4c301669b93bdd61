"""A run becomes a version on the Hub, or nothing does: what is decided, and the order in which it happens.

Blobs first, which nobody sees; then one commit on top of the one that was seen; then every file is read back and
compared; then the tag. Users load by tag, so whatever stops in between leaves no version, and the next try goes on:
blobs are known by their hashes, and the commit is found by the key of its content.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from flows.hub.repository import Hub, RepoState
from flows.publish.config import CONTENT, PublishConfig
from flows.publish.export import Export, contents_of, export_run, staging
from flows.versions.output_folder import MANIFEST
from flows.versions.version import open_version
from transforms.dataset.published import OWN_FILES, OWN_FOLDERS
from transforms.errors import ConfigError, OutputError
from transforms.versions.semver import BUMPS, FIRST, Bump, Change, change, newest, parse_tag

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class Stage(Protocol):
    """Runs a named piece of work; flows.runtime.tasks.stage is one."""

    def __call__(self, name: str, work: Callable[[], Result]) -> Result: ...


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


class Decision(NamedTuple):
    """What publishing would do.

    Attributes:
        tag: of the version; the newest that it has where it is published already.
        tagged: tags that the content has there. Then there is nothing to do.
        commit: one that holds exactly these files and only lacks its tag.
        last: the newest semantic version there.
        change: since `last`; None without one.
    """

    tag: str
    tagged: list[str]
    commit: str | None
    last: str | None
    change: Change | None


def publish_run(config: PublishConfig, hub: Hub, token: str | None, stage: Stage) -> Publication:
    """Publish a run.

    Args:
        config: what goes where.
        hub: the repository.
        token: to read the version before.
        stage: runs each step.

    Raises:
        ConfigError, SourceError, OutputError: no such run, a tag that is taken, a push in between, or a Hub that cannot
            be reached or refuses. There is no tag then.
    """
    with staging(config.run) as folder:
        export = stage("write Parquet", lambda: export_run(config.run, folder, config.repo))
        state = stage("look at the Hub", lambda: _state(config, hub))
        decision = stage("compare with the last version", lambda: decide(config, export, state, hub, token))
        if decision.tagged:
            return _publication(hub, export, decision, state.tags[decision.tag], state)
        commit = decision.commit or stage("upload and commit", lambda: _commit(hub, export, state, decision))
        stage("read back", lambda: _verify(hub, export, commit))
        stage("tag", lambda: hub.tag(decision.tag, commit))
        return _publication(hub, export, decision, commit, state)


def decide(config: PublishConfig, export: Export, state: RepoState | None, hub: Hub, token: str | None) -> Decision:
    """Which version this is, and whether it is there already. Nothing is changed.

    Raises:
        ConfigError: a tag that is another commit's, or lower than the last version.
        OutputError: `config.revision` is not the newest commit.
    """
    if state is None:
        return Decision(_named(config, export) or str(FIRST), [], None, None, None)
    if config.revision is not None and not state.tip.startswith(config.revision):
        message = f"{hub.repo} is at {state.tip[:12]} and not at {config.revision[:12]}: somebody pushed. "
        raise OutputError(message + "Nothing was sent; look at it, and name that commit or none")
    if MANIFEST not in state.files and any(path.startswith(OWN_FOLDERS) for path in state.files):
        message = f"{hub.repo} holds another dataset, of which this would remove files; name a repository of its own"
        raise OutputError(message)
    same = [commit.sha for commit in state.commits if export.mark in commit.message]
    last = newest(state.tags)
    if config.automatic and (tags := _tags_of(config, export, state, same)):
        return Decision(tags[-1], tags, None, str(last) if last else None, None)
    identical = next((sha for sha in same if _is_identical(hub, export, sha)), None)
    found = None
    if last is not None:
        before = open_version(hub.repo, state.tags[str(last)], token=token)
        found = change(contents_of(before), export.contents)
    tag = _named(config, export)
    if tag is None:
        bump = found.bump if found and config.bump == "auto" else config.bump
        tag = str(last.bumped(bump) if last and bump != "auto" else FIRST)
    elif tag in state.tags:
        if state.tags[tag] != identical:
            message = f"{hub.repo}: {tag} is there with other content, and tags are never moved; name another, or none"
            raise ConfigError(message)
        return Decision(tag, [tag], None, str(last), found)
    elif (wanted := parse_tag(tag)) and last and wanted < last:
        message = f"tag {tag} is lower than {last}, the newest version of {hub.repo}; name a higher one, or none"
        raise ConfigError(message)
    return Decision(tag, [], identical, str(last) if last else None, found)


def too_small(decision: Decision) -> Bump | None:
    """The bump that the rule asks for, where the tag is a smaller one."""
    last, tag = parse_tag(decision.last or ""), parse_tag(decision.tag)
    if last is None or tag is None or decision.change is None:
        return None
    made = next(bump for bump in reversed(BUMPS) if bump == "patch" or getattr(last, bump) != getattr(tag, bump))
    return decision.change.bump if BUMPS.index(made) < BUMPS.index(decision.change.bump) else None


def _state(config: PublishConfig, hub: Hub) -> RepoState:
    if (state := hub.state()) is not None:
        if config.public and state.private:
            logger.warning("%s is private and stays so; change that on its settings page", hub.repo)
        return state
    hub.create(private=not config.public)
    if (state := hub.state()) is None:
        message = f"{hub.repo} was made and cannot be seen; the token needs the right to read it, too"
        raise OutputError(message)
    return state


def _named(config: PublishConfig, export: Export) -> str | None:
    return f"v-{export.contents.manifest.version}" if config.tag == CONTENT else config.tag


def _tags_of(config: PublishConfig, export: Export, state: RepoState, same: list[str]) -> list[str]:
    """Tags, in order, under which the content is there already."""
    if config.tag == CONTENT:
        tag = f"v-{export.contents.manifest.version}"
        return [tag] if tag in state.tags else []
    tags = [tag for commit in same for tag in state.tags_of(commit)]
    return sorted(tags, key=lambda tag: (parse_tag(tag) or (0, 0, 0), tag))


def _is_identical(hub: Hub, export: Export, commit: str) -> bool:
    """Whether a commit holds exactly these files; its manifest names all of their hashes."""
    return hub.sha256_of(commit, MANIFEST) == export.files[-1].sha256


def _commit(hub: Hub, export: Export, state: RepoState, decision: Decision) -> str:
    from huggingface_hub import CommitOperationAdd

    additions = [CommitOperationAdd(file.path, export.folder / file.path) for file in export.files]
    paths = {file.path for file in export.files}
    gone = [path for path in state.files if path not in paths and (path in OWN_FILES or path.startswith(OWN_FOLDERS))]
    hub.upload(additions)
    manifest = export.contents.manifest
    return hub.commit(
        state.tip,
        additions,
        gone,
        title=f"{decision.tag}: {manifest.name}, {manifest.counts.kept:,} pairs",
        description="\n".join([*(decision.change.why if decision.change else ["first version"]), "", export.mark]),
        mark=export.mark,
    )


def _verify(hub: Hub, export: Export, commit: str) -> None:
    for file in export.files:
        if (found := hub.sha256_of(commit, file.path)) != file.sha256:
            message = (
                f"{hub.repo} at {commit[:12]}: {file.path} came back with sha256 {found[:12]}…, sent was "
                f"{file.sha256[:12]}…. There is no tag on it; publish again"
            )
            raise OutputError(message)


def _publication(hub: Hub, export: Export, decision: Decision, commit: str, state: RepoState) -> Publication:
    versions = newest([*state.tags, decision.tag])
    return Publication(
        repo=hub.repo,
        url=hub.url,
        tag=decision.tag,
        commit=commit,
        version=export.contents.manifest.version,
        files=len(export.files),
        bytes=export.bytes,
        why=decision.change.why if decision.change else [],
        unchanged=bool(decision.tagged),
        newest=str(versions) if versions else decision.tag,
    )
