"""Other engines on the same topic, on the machine's JDK: their Java, their pinned jars, and how they are measured."""
