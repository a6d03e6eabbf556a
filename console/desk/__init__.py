"""The dead-letter desk: letters are found, understood, repaired, sent back, and followed until they are counted."""
