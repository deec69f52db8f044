"""The contracts of the store on a real node."""
