"""Benchmarks: the system's throughput and latency, beside peers and limits in the same run."""
