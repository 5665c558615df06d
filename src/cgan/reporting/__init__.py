"""From numbers and samples to what people look at: tables, plots, sheets of pictures."""
