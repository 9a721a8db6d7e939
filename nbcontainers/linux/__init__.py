"""Linux by man page: thin, typed names for the system calls a container is made of. Standard library only."""
