"""A daemon with several workers: changes, and workers that are busy, stop or die."""
