"""What runs inside the container: mounted there read-only as `_nbcontainers_cell`, started by the notebook's own
interpreter. It uses the standard library and itself only (IPython where the cell shows something that needs it),
and imports itself relatively, because the notebook's side shares `wire` and `binary` under their usual names."""
