"""The parts of the chaos suite: see benchmarks/chaos.py."""
