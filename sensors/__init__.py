"""One module per sensor."""
