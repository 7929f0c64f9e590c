"""`curate report`: what a run found, as a page that opens from the disk."""
