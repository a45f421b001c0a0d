"""What a processor can do, and modules that do the network's work faster there."""
