"""Several engines of one model, in processes of this machine or on a Ray cluster: whole batches go to whoever is free.

`engine.py` says what a replica loads, in words that travel; `messages.py` what is asked and answered; `worker.py` does
it, wherever it runs. `processes.py` and `ray_cluster.py` start workers and talk to them, `crew.py` hands batches out,
starts what died again and ends what hangs.
"""
