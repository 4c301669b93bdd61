"""Several engines of one model, in processes of this machine or on a Ray cluster: whole batches go to whoever is free.

engine          what a replica loads and asks, in words that travel
messages        what driver and workers say to each other, as bytes
worker          a replica at work, the same wherever it runs
process_worker  what its process runs
replica         what a crew knows of one, and of where they come from
processes       started on this machine
ray_cluster     started as actors of Ray
crew            hands batches out, starts what died again, ends what hangs
crews           the crew that a recipe asks for
"""
