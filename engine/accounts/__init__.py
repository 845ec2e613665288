"""Who a buyer is. Today: guests, who need no account."""
