"""Make a subset of every rule set of a sweep, and compare them.

`ray job submit --working-dir . -- python jobs/sweep.py CONFIG.yaml`
"""

from curate.jobs import submit_main

if __name__ == "__main__":
    submit_main("sweep")
