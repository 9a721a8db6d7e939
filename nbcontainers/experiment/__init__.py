"""Python under limits: cells and functions on the image `host`, with the notebook's own interpreter and packages."""
