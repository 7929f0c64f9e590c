"""Write filtered shards on a cluster.

`ray job submit --working-dir . -- python jobs/filter.py CONFIG.yaml`
"""

from curate.jobs import submit_main

if __name__ == "__main__":
    submit_main("filter")
