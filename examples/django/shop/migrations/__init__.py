"""Tables first, then what is told of them."""
