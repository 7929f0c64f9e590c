"""`curate download`: tables of URLs to shards, with img2dataset as the engine."""
