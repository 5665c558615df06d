"""From evaluation records and samples to what people look at: tables, plots, image grids."""
