"""The smallest daemon a container can have: output, log, exit status, metrics, clean-up."""
