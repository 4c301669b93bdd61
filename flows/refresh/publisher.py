"""Versions of a refreshed dataset on the Hub."""

from pathlib import Path

from flows.hub.repository import Hub
from flows.hub.token import hub_token
from flows.publish.config import PublishConfig
from flows.publish.release import Publication, publish_run
from flows.runtime.tasks import stage
from flows.versions.version import open_version
from transforms.errors import ConfigError, SourceError
from transforms.records.manifest import Manifest
from transforms.versions.semver import newest


class HubPublisher:
    """Publishes runs as the next semantic version of a repository.

    Args:
        config: repository and name of the token; its `run` is another one each time.

    Raises:
        ConfigError: there is no such token.
    """

    def __init__(self, config: PublishConfig) -> None:
        self._config = config
        self._token = hub_token(env=config.token_env, block=config.token_block)
        if self._token is None:
            message = "publishing needs a token of the Hub where the refresh runs: set HF_TOKEN there, or name one by "
            raise ConfigError(message + "token_env or token_block")

    def last(self) -> Manifest | None:
        """The manifest of the newest tagged version: a commit without a tag is no version yet.

        Raises:
            SourceError: the Hub cannot be reached, or what is there is no version of this project.
        """
        repo = self._config.repo
        state = Hub(repo, token=self._token, error=SourceError).state()
        tag = newest(state.tags) if state else None
        return open_version(repo, state.tags[str(tag)], token=self._token).manifest if state and tag else None

    def publish(self, run: Path) -> Publication:
        """Make a finished run the next version; see `flows.publish.release.publish_run`."""
        config = self._config.model_copy(update={"run": run})
        return publish_run(config, Hub(config.repo, token=self._token), self._token, stage)
