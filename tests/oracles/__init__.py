"""Slow float64 NumPy loops, written from the equations by someone who has not read the losses."""
