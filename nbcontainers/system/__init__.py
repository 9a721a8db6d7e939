"""What concerns the whole engine: info, df, prune."""
