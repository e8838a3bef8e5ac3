"""The node's side of LoRaWAN 1.0.4 class A."""
