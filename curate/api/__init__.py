"""What notebooks and scripts use, thin over what the commands do; named in `curate` itself."""
