"""What pages and the report show: gathered from topics and workers, and put in order, without any web."""
