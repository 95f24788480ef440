"""Reports: tables laid out from records as one grid of cells, and the renderers of that grid."""
