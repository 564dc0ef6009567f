"""`sql`: a query over each batch of columns, and tables beside it."""
