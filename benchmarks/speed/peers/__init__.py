"""Other frameworks at the work of the end-to-end benchmark, each driven in its own Python."""
