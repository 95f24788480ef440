"""The conformance checks of a user's methods."""
