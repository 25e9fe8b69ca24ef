"""Training a network, from data to a model that can be used."""
