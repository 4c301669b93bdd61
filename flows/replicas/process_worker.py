"""What a replica's process runs: `python -m flows.replicas.process_worker FD`, a socket to the driver in its number.

Messages begin with a letter. To the worker: `S` spec, `R` a batch. From it: `U` loaded, `P` progress, `A` an answer,
`E` an error.
"""

import json
import os
import sys
import threading
import time
from multiprocessing.connection import Connection

from flows.replicas.messages import error_to_json
from flows.replicas.worker import Worker, use_cores


def main(connection: Connection) -> None:
    """Load what the first message says and answer batches until the driver is gone."""
    start = json.loads(_receive(connection)[1:])
    use_cores(start["cores"])
    try:
        worker = Worker(start["spec"], start["packages"])
    except Exception as error:  # noqa: BLE001 - whatever it is, the driver is the one to say it
        connection.send_bytes(b"E" + error_to_json(error).encode())
        return
    connection.send_bytes(b"U" + json.dumps(worker.about()).encode())

    def progress(requests: int, tokens: int) -> None:
        connection.send_bytes(b"P" + json.dumps([requests, tokens]).encode())

    while True:
        asked = _receive(connection)[1:]
        try:
            answer = b"A" + worker.answer(asked, progress)
        except Exception as error:  # noqa: BLE001 - as above
            answer = b"E" + error_to_json(error).encode()
        connection.send_bytes(answer)


def _receive(connection: Connection) -> bytes:
    try:
        return connection.recv_bytes()
    except EOFError:
        sys.exit(0)  # the driver closed it


def _end_with(parent: int) -> None:
    """A driver that was killed closes the socket, but a worker in the middle of a batch would not look for an hour."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        main(Connection(int(sys.argv[1])))
    except (BrokenPipeError, ConnectionResetError):
        sys.exit(1)
