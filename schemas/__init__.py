"""The wire contract: Avro schemas, the records they describe, their codecs, and the topics they travel on.

Imports nothing else of this project, so that anything outside may depend on it alone.
"""
