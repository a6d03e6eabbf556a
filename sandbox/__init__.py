"""A laptop's world: an embedded Kafka, the retail sample, generated feeds and their disorder, malformed records.

For the demo, tests and benchmarks. Production never imports it.
"""
