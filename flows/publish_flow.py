"""Publishing as a Prefect flow."""

from prefect import flow

from flows import artifacts
from flows.hub import Hub
from flows.hub_token import required_token
from flows.publication import Publication
from flows.publish_config import PublishConfig
from flows.publishing import publish_run
from flows.tasks import stage
from flows.temporary_server import end_server_with_us


@flow(name="publish", flow_run_name="publish {config.repo}", persist_result=False)
def publish(config: PublishConfig) -> Publication:
    """Publish a run to the Hub; the version that is there now, new or not.

    Raises:
        ConfigError: no token.
        CurationError: as `flows.publishing.publish_run`.
    """
    end_server_with_us()
    token = required_token(env=config.token_env, block=config.token_block)
    publication = publish_run(config, Hub(config.repo, token=token), token, stage)
    artifacts.show_publication(publication)
    return publication
