"""The targets of comparisons, a file a kind; see nbcontainers.compare.target."""
