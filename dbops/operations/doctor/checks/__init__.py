"""One module a check; `catalogue` lists them."""
