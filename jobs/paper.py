"""Run the paper's analyses on a cluster.

`ray job submit --working-dir . -- python jobs/paper.py CONFIG.yaml`
"""

from curate.jobs import submit_main

if __name__ == "__main__":
    submit_main("paper")
