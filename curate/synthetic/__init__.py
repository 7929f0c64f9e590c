"""Drawn and written stand-ins for what the web serves: for training, demonstration and tests."""
