"""How docs/ becomes a site: `make docs`."""
