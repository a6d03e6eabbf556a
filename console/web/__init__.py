"""The web console: what the pipeline does, where people see it."""
