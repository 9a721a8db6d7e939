"""`container xray`: what separates a container from the host, each fact read from the kernel when it is asked for.

`look` and `sight` run in processes of the launcher, for what /proc shows only to those who may trace a process and what
only shows from inside; `namespaces`, `mounted`, `privileges` and `limits` make rows of it; `xray` gathers and shows them.
"""
