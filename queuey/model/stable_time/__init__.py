"""Stable time: the clocks of front ends that share a cluster, and what readers may see."""
