"""Select a subset on a cluster.

`ray job submit --working-dir . -- python jobs/select_subset.py CONFIG.yaml`
"""

from curate.jobs import submit_main

if __name__ == "__main__":
    submit_main("select")
