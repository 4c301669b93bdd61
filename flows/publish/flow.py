"""Publishing as a Prefect flow."""

from prefect import flow

from flows.hub.repository import Hub
from flows.hub.token import required_token
from flows.publish.artifacts import show_publication
from flows.publish.config import PublishConfig
from flows.publish.release import Publication, publish_run
from flows.runtime.tasks import stage
from flows.runtime.temporary_server import end_server_with_us


@flow(name="publish", flow_run_name="publish {config.repo}", persist_result=False)
def publish(config: PublishConfig) -> Publication:
    """Publish a run to the Hub; the version that is there now, new or not.

    Raises:
        ConfigError: no token.
        CurationError: as `flows.publish.release.publish_run`.
    """
    end_server_with_us()
    token = required_token(env=config.token_env, block=config.token_block)
    publication = publish_run(config, Hub(config.repo, token=token), token, stage)
    show_publication(publication)
    return publication
