"""What a container costs, next to the field's own programs. `python3 tests bench`; never part of the suite."""
