"""Fit, score, select and filter on a cluster.

`ray job submit --working-dir . -- python jobs/run.py CONFIG.yaml`
"""

from curate.jobs import submit_main

if __name__ == "__main__":
    submit_main("run")
