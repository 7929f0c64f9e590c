"""What the drawings show: one function per kind of scene, each returning what to say about it."""
