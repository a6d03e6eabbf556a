"""The pages of the dead-letter desk: groups, samples, repair, replay, and what became of each letter."""
