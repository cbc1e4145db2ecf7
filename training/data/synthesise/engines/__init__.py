"""What speaks: each engine turns words into sound at a rate of its own."""
