"""Kafka to windows to batches. Faust lives here and nowhere else.

One event's way: `fetch_lane` → `intake` → `windowing` → `partition` (`open_windows`, `event_clock`) → `checkpoint`.
"""
