"""What runs beside requests: rounds, activity, reports, ownership of pushes, changes of shared values."""
