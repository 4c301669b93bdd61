"""The comparison of decoding rules as a Prefect flow."""

from prefect import flow

from flows.decode.config import DecodeConfig
from flows.decode.plan import plan_decoding
from flows.decode.stages import decode_run
from flows.runtime import artifacts
from flows.runtime.progress import Progress
from flows.runtime.tasks import engine_call
from flows.runtime.temporary_server import end_server_with_us
from transforms.records.decoding import Decodings


@flow(name="decode", flow_run_name="decode {config.run.name}", persist_result=False)
def decode(config: DecodeConfig) -> Decodings:
    """Answer a run's test prompts by every rule; decode.json, decode.parquet and decode.html go to `config.out`."""
    end_server_with_us()
    plan = plan_decoding(config)
    if plan.finished is not None:
        return plan.finished
    progress = Progress()
    artifacts.show_progress(progress)
    found = decode_run(plan, engine_call, progress)
    artifacts.show_decodings(found, config.out)
    return found
