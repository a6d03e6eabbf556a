"""What people touch: the command line, the dead-letter desk, the audit."""
