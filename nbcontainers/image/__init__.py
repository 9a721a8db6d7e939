"""The file systems containers start from: store, layers, archives, and the embedded images `host` and `mini`."""
