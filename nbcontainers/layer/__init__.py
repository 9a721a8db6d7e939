"""Layers: the changes of one step of an image as a tar (layer.md of the image-spec), applied and made."""
