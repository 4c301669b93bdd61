"""Who is told when a refresh fails: an automation of the Prefect server, for each deployment its own."""

from typing import Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from transforms.errors import ConfigError

FAILED: Final = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}
_SUBJECT: Final = "{{ flow_run.name }}: {{ flow_run.state.name }}"
_BODY: Final = """\
{{ flow_run.name }} of deployment {{ deployment.name }} ended as {{ flow_run.state.name }}:
{{ flow_run.state.message }}
The last version stands. What the run paid for is kept. {{ (flow_run | ui_url) or "" }}"""


async def find_block(name: str) -> UUID:
    """The id of a notification block.

    Args:
        name: `TYPE/NAME`, as `slack-webhook/team`.

    Raises:
        ConfigError: there is no such block.
    """
    kind, _, block = name.partition("/")
    async with get_client() as client:
        try:
            found = await client.read_block_document_by_name(block, kind, include_secrets=False)
        except ObjectNotFound as error:
            message = (
                f"there is no notification block {name}; expected TYPE/NAME of one that the Prefect server has "
                "(prefect block ls), as slack-webhook/team. Make it in the UI, under Blocks"
            )
            raise ConfigError(message) from error
    return found.id


async def notify_of_failures(deployment: UUID, name: str, block: UUID) -> None:
    """Let a notification block be told of every failed or crashed run of a deployment. Again changes nothing."""
    automation = AutomationCore(
        name=f"refresh/{name} failed",
        description="Made by python -m flows.deploy, which replaces it.",
        trigger=EventTrigger(
            expect=FAILED,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.id": f"prefect.deployment.{deployment}",
                "prefect.resource.role": "deployment",
            },
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[SendNotification(block_document_id=block, subject=_SUBJECT, body=_BODY)],
    )
    async with get_client() as client:
        found = await client.read_automations_by_name(automation.name)
        if found:
            await client.update_automation(found[0].id, automation)
        else:
            await client.create_automation(automation)
