"""Hostile use: mutated files, flipped bits, kills. Each instrument finds the faults of the code before it, and none of today's."""
