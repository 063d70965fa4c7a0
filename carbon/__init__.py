"""What is true: units, factors, methods, programmes and booking. numpy only, no I/O, no clock."""
