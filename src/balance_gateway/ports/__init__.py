"""The interfaces between the layers, and the state that travels with a call through them."""
