"""The Hub's token: named in a configuration, read where it is used, and never shown."""

import os
import re
from typing import Final

from transforms.errors import ConfigError

# What a header can carry. A client that refuses another value quotes it in its error, token and all.
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")


def hub_token(*, env: str | None = None, block: str | None = None) -> str | None:
    """The token of a variable or a Prefect Secret block; else HF_TOKEN's or that of `hf auth login`, or None.

    Args:
        env: name of an environment variable.
        block: name of a Prefect Secret block.

    Raises:
        ConfigError: the variable or block is not there, or what it holds can be no token. Never shows the value.
    """
    if env is not None:
        where = f"the environment variable {env}"
        token = os.environ.get(env)
    elif block is not None:
        where = f"the Prefect Secret block {block}"
        token = _of_block(block)
    else:
        from huggingface_hub import get_token

        where, token = "HF_TOKEN or the Hub's login", get_token()
        if token is None:
            return None
    token = (token or "").strip()
    if not _PRINTABLE.fullmatch(token):
        message = f"{where} {'holds no token' if token else 'is empty or not set'}"
        raise ConfigError(message)
    return token


def required_token(*, env: str | None = None, block: str | None = None) -> str:
    """`hub_token`, for what cannot be done without.

    Raises:
        ConfigError: as `hub_token`, and where there is none.
    """
    token = hub_token(env=env, block=block)
    if token is None:
        message = "publishing needs a token of the Hub: set HF_TOKEN, run `hf auth login`, or name --token-env or "
        raise ConfigError(message + "--token-block")
    return token


def _of_block(name: str) -> str:
    from prefect.blocks.system import Secret

    try:
        found = Secret.load(name).get()  # type: ignore[union-attr]  # a coroutine only where a loop runs
    except ValueError as error:
        message = f"there is no Prefect Secret block {name}; make one in Prefect's UI, or name another"
        raise ConfigError(message) from error
    return found if isinstance(found, str) else ""
