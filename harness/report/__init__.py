"""Reports: a table and its entries become one grid of cells, which every renderer only reads."""
