"""The lanes: one module each, with `run(job) -> Measurement`. Only the lane's own process imports it."""
