"""The networks, their losses, and the optimiser of the published code."""
