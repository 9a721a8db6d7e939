"""The Dockerfile language: parser, instructions, variables, stages, .dockerignore and build checks; all pure functions."""
