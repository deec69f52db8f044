"""What the test of generated clients needs: settings of generators, and the programs that use the clients."""
