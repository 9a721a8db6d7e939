"""The one door from the client process to privileged work: a fork server that knows no noun."""
