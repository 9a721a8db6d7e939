"""Builds images: a Dockerfile's stages and steps, carried out in containers of our own, their results kept."""
