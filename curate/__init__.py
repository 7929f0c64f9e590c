"""curate: filter image-text pools by how much each image and each caption says."""

__version__ = "0.1.0"
