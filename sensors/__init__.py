"""One module a sensor."""
