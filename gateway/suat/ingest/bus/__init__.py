"""What a Modbus line is made of: the tables that describe it, its registers' numbers, and the client that asks."""
