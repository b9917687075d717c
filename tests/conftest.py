collect_ignore_glob = ["benchmarks/*"]
