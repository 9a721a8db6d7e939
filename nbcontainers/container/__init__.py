"""Containers: the options of `run`, the OCI configuration they make, the folder on disk, and the verbs."""
