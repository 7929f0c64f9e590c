"""What the speed benchmarks share: pools, contenders, and the CPU time of whole process trees."""
