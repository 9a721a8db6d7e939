"""The runtime core: an OCI bundle in, a container out (runtime-spec v1.3)."""
