"""The hot plane: holds, checkout, orders, and the deadlines that end them."""
