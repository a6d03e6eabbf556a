"""Coefficients to those who use them: in chunks, each with its effect once, at a pace that the other side can take."""
