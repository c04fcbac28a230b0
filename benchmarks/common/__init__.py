"""What every suite of benchmarks uses: paths, percentiles, tables, and the part of a page that a run writes."""
