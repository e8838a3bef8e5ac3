"""Admit: the network server of one site. Who sent it, was it heard before, and what is answered."""
