"""Where the small actors of a run live: beside its driver, without which nothing goes on anyway."""

from __future__ import annotations

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def near_driver() -> NodeAffinitySchedulingStrategy:
    """The node of this process. A node of workers may be preempted, and a count lost with it."""
    node = ray.get_runtime_context().get_node_id()
    return NodeAffinitySchedulingStrategy(node, soft=True)
