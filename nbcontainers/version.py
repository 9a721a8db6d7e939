"""The one place of the version, below everything that tells it."""

VERSION = "0.1.0"
