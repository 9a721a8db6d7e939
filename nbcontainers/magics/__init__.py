"""The notebook's face: `%container run …`, `%%container run …`, their completion and their output."""
