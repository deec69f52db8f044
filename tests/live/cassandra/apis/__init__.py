"""Each API before front ends on a real node."""
