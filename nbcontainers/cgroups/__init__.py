"""Control groups: limits that the kernel enforces, and what a container used. cgroups(7), cgroup-v1, cgroup-v2.

One protocol (`cgroup.Cgroup`) over four kinds of host: `v2`, `v1`, `hybrid` (v1 controllers beside a v2 tree) and
`null` (nothing that we may write to). `detect` says which one this host is.
"""
