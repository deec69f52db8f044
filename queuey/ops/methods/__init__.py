"""The methods of the operators' port, a module for each thing that they are about."""
