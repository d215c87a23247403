"""What a packet costs: `make bench` measures the product on this machine. Not part of the wheel."""
